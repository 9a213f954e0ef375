"""Shares of the work: any division and any interruption gives the same bytes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import seqsuite
from seqdna.variants import annotate_vcf
from seqdna.variants.parts import Shard
from seqdna.variants.scoring import Scoring
from seqsuite.errors import UserError


@pytest.fixture(scope="module")
def job(kit, tmp_path_factory) -> tuple[Path, list[str]]:
    """A folder with model, genome and variants, and the command's words for them."""
    folder = tmp_path_factory.mktemp("job")
    torch.manual_seed(0)
    seqsuite.create_model("caduceus_ph_debug", vocab_size=12).save_pretrained(folder / "model")
    genome = {"c1": kit.random_genome(21, 400)}
    kit.write_fasta(folder / "g.fa", genome)
    kit.write_vcf(folder / "v.vcf", kit.some_rows(genome, 40, seed=9))
    words = ["score-variants", "model", "g.fa", "--vcf", "v.vcf", "--window", "32", "--block_records", "4"]
    return folder, [*words, "--unsorted", "--device", "cpu"]


PROGRAM = "import sys; from seqdna.cli import main; sys.exit(main(sys.argv[1:]))"


def start(folder: Path, words: list[str], **environment: str) -> subprocess.Popen:
    command = [sys.executable, "-c", PROGRAM, *words]
    return subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_two_processes_write_the_same_file_as_one(job) -> None:
    folder, words = job
    alone = start(folder, [*words, "--out", "alone.vcf.gz"])
    ranks = [
        start(folder, [*words, "--out", "ranks.vcf.gz"], RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2")
        for rank in range(2)
    ]
    said = [process.communicate(timeout=120)[0] for process in (alone, *ranks)]
    assert [process.returncode for process in (alone, *ranks)] == [0, 0, 0]
    assert sum("wrote ranks.vcf.gz" in text for text in said[1:]) == 1
    assert (folder / "ranks.vcf.gz").read_bytes() == (folder / "alone.vcf.gz").read_bytes()
    assert (folder / "ranks.vcf.gz.json").read_bytes() == (folder / "alone.vcf.gz.json").read_bytes()
    assert not list(folder.glob("*.parts"))


def test_shares_one_after_another_in_any_order(job) -> None:
    folder, _ = job
    import seqdna

    options = {"window": 32, "unsorted": True, "block_records": 4}
    model = seqdna.load(folder / "model")
    files = (model, folder / "v.vcf", folder / "g.fa")
    annotate_vcf(*files, folder / "whole.tsv", **options)
    assert annotate_vcf(*files, folder / "shared.tsv", shard=Shard(1, 2), **options) is None
    assert not (folder / "shared.tsv").exists()
    # Another window is another job: its blocks are not mixed in.
    assert annotate_vcf(*files, folder / "shared.tsv", shard=Shard(1, 2), **options | {"window": 24}) is None
    assert annotate_vcf(*files, folder / "shared.tsv", shard=Shard(0, 2), **options) is not None
    assert (folder / "shared.tsv").read_bytes() == (folder / "whole.tsv").read_bytes()


class Stop(Exception):
    pass


def test_an_interrupted_run_goes_on_with_the_blocks_it_has(job, monkeypatch) -> None:
    folder, _ = job
    import seqdna

    options = {"window": 32, "unsorted": True, "block_records": 4}
    files = (seqdna.load(folder / "model"), folder / "v.vcf", folder / "g.fa")
    annotate_vcf(*files, folder / "calm.vcf", **options)
    scored: list[int] = []
    own = Scoring.score

    def score(self, records):
        scored.append(len(records))
        return own(self, records)

    def stop(done: int, blocks: int) -> None:
        if done == 6:
            raise Stop

    monkeypatch.setattr(Scoring, "score", score)
    with pytest.raises(Stop):
        annotate_vcf(*files, folder / "torn.vcf", progress=stop, **options)
    assert not (folder / "torn.vcf").exists()
    assert len(scored) == 6
    # Joining fails half-way: nothing half-written, the blocks stay.
    with monkeypatch.context() as broken:
        broken.setattr("seqdna.variants.writers.annotate", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            annotate_vcf(*files, folder / "torn.vcf", **options)
    assert not [path for path in folder.iterdir() if "torn.vcf" in path.name and path.name != "torn.vcf.parts"]
    assert len(scored) == 10
    annotate_vcf(*files, folder / "torn.vcf", **options)
    assert len(scored) == 10
    assert (folder / "torn.vcf").read_bytes() == (folder / "calm.vcf").read_bytes()
    assert not (folder / "torn.vcf.parts").exists()


def test_only_one_process_joins(tmp_path) -> None:
    from seqdna.variants.parts import Parts

    first, second = (Parts(tmp_path / "p", "f", 2, Shard(index, 2)) for index in (0, 1))
    assert (list(first.missing()), list(second.missing()), first.left()) == ([0], [1], 2)
    first.put(0, {"x": np.arange(3)})
    with first.claim() as mine:
        assert not mine
    second.put(1, {"x": np.arange(4)})
    with first.claim() as mine, second.claim() as other:
        assert (mine, other) == (True, False)
        assert [len(first.get(block)["x"]) for block in (0, 1)] == [3, 4]
    assert not (tmp_path / "p").exists()


def test_a_share_without_blocks_leaves_nothing_behind(tmp_path) -> None:
    from seqdna.variants.parts import Parts

    worker, idle = (Parts(tmp_path / "p", "f", 1, Shard(index, 2)) for index in (0, 1))
    assert list(idle.missing()) == []
    with idle.claim() as mine:
        assert not mine
    assert not (tmp_path / "p").exists()
    worker.put(0, {"x": np.arange(3)})
    with worker.claim() as mine:
        assert mine
    with Parts(tmp_path / "p", "f", 1, Shard(1, 2)).claim() as mine:
        assert not mine
    assert not (tmp_path / "p").exists()


def test_shards_are_named() -> None:
    assert Shard.parse("2/3") == Shard(1, 3)
    assert str(Shard(1, 3)) == "2/3"
    for text in ("0/3", "4/3", "1", "a/b", "-1/2", "1/0"):
        with pytest.raises(UserError, match=r"give i/n with 1 <= i <= n"):
            Shard.parse(text)
    assert Shard.from_environment({}) == Shard(0, 1)
    assert Shard.from_environment({"RANK": "2", "WORLD_SIZE": "3"}) == Shard(2, 3)
    with pytest.raises(UserError, match="RANK=3 and WORLD_SIZE=3"):
        Shard.from_environment({"RANK": "3", "WORLD_SIZE": "3"})
