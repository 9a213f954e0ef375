"""Positions no integer holds, windows no filter reaches, disks that fill, joins that die."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import seqsuite
from seqdna.api import GenomeModel
from seqdna.cli import main
from seqdna.tokenizers import NucleotideTokenizer
from seqdna.variants import all_snvs, score_variants
from seqdna.variants.parts import Parts, Shard
from seqdna.variants.vcf import parse_record
from seqsuite.errors import UserError


@pytest.mark.parametrize("digits", [19, 5000])
def test_a_position_that_no_integer_holds_is_a_bad_line(digits) -> None:
    record = parse_record(3, f"c\t{'9' * digits}\t.\tA\tC\t.\t.\t.\n")
    assert record.problem == "bad_position"


@pytest.mark.parametrize("window", [33, None])
def test_a_window_beyond_the_filter(kit, tmp_path, window) -> None:
    torch.manual_seed(0)
    network = seqsuite.create_model("hyenadna_debug", mixer_options={"l_max": 32})
    model = GenomeModel(network, NucleotideTokenizer(), {"length": 40})
    fasta = kit.write_fasta(tmp_path / "g.fa", {"c": "ACGT" * 20})
    vcf = kit.write_vcf(tmp_path / "v.vcf", [("c", 5, ".", "A", "C", ".", ".", ".")])
    told = f"--window is {window or 40}; this model reads at most 32 bases at once: give --window 32"
    with pytest.raises(UserError, match=told):
        score_variants(model, vcf, fasta, window=window)
    with pytest.raises(UserError, match=told):
        all_snvs(model, fasta, tmp_path / "s.npy", window=window)
    assert len(score_variants(model, vcf, fasta, window=32)) == 1


@pytest.mark.parametrize("name", ["out.vcf", "out.vcf.gz", "out.tsv.gz", "snvs.tsv", "snvs.tsv.gz"])
def test_a_disk_that_fills_while_writing_is_one_line(kit, tmp_path, name) -> None:
    """A limit on the size of files stands in for the full disk; blocks fit under it, the output does not."""
    torch.manual_seed(0)
    seqsuite.create_model("leave_one_out_debug").save_pretrained(tmp_path / "model")
    genome = {"c": kit.random_genome(3, 1000)}
    kit.write_fasta(tmp_path / "g.fa", genome)
    told = ["".join(np.random.default_rng(i).choice(list("abcdefghijklmnop"), 2000)) for i in range(40)]
    rows = [("c", i + 1, f"{told[i]}", genome["c"][i], "N", ".", ".", ".") for i in range(40)]
    kit.write_vcf(tmp_path / "v.vcf", rows)
    what = ["--all_snvs"] if name.startswith("snvs") else ["--vcf", "v.vcf", "--block_records", "4"]
    limit = 16_600 if name == "snvs.tsv.gz" else 24_000
    words = ["score-variants", "model", "g.fa", *what, "--window", "64", "--out", name]
    program = "import sys; from seqdna.cli import main; sys.exit(main(sys.argv[1:]))"
    run = subprocess.run(
        [sys.executable, "-c", program, *words],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert run.returncode == 2, run.stderr
    assert run.stderr.strip().splitlines() == [f"seqdna: --out {name}: cannot write it (File too large)."]
    left = {path.name for path in tmp_path.iterdir()}
    assert name not in left
    assert not [path for path in left if path.endswith(".tmp")]


DIES = """
import os, sys
import numpy as np
from pathlib import Path
from seqdna.variants.parts import Parts, Shard
parts = Parts(Path(sys.argv[1]), "f1", 2, Shard())
for block in parts.missing():
    parts.put(block, {"x": np.full(3, block)})
with parts.claim() as mine:
    assert mine
    os._exit(9)
"""


def test_a_join_that_was_killed_loses_no_block(tmp_path) -> None:
    root = tmp_path / "out.parts"
    assert subprocess.run([sys.executable, "-c", DIES, str(root)], timeout=60).returncode == 9
    again = Parts(root, "f1", 2, Shard())
    assert list(again.missing()) == []
    with again.claim() as mine:
        assert mine
        np.testing.assert_array_equal(again.get(1)["x"], [1, 1, 1])
    assert not root.exists()


def test_a_join_that_is_under_way_is_left_alone(tmp_path) -> None:
    root: Path = tmp_path / "out.parts"
    parts = Parts(root, "f1", 1, Shard())
    parts.put(0, {"x": np.arange(2)})
    with parts.claim() as mine:
        assert mine
        late = Parts(root, "f1", 1, Shard())
        assert list(late.missing()) == [0]
        np.testing.assert_array_equal(parts.get(0)["x"], [0, 1])


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"no archive at all"])
def test_a_damaged_block_is_made_again(tmp_path, content) -> None:
    root = tmp_path / "out.parts"
    parts = Parts(root, "f1", 1, Shard())
    parts.put(0, {"x": np.arange(2)})
    (path,) = parts.folder.iterdir()
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"block 0 is damaged .* run the same command again"), parts.claim():
        parts.get(0)
    assert list(Parts(root, "f1", 1, Shard()).missing()) == [0]


@pytest.mark.parametrize(("policy", "token"), [("n", "N"), ("unk", r"\[UNK\]"), ("upper", "")])
def test_soft_masked_bases_that_the_model_does_not_see_are_told(kit, tmp_path, capsys, policy, token) -> None:
    """In the report, in the file, and on stderr."""
    torch.manual_seed(0)
    network = seqsuite.create_model("leave_one_out_debug")
    network.save_pretrained(tmp_path / "model")
    words = NucleotideTokenizer(lower=policy)
    (tmp_path / "model" / "tokenizer.json").write_text(json.dumps(words.to_dict()))
    fasta = kit.write_fasta(tmp_path / "g.fa", {"c": "ACGTacgtAC" * 4})
    vcf = kit.write_vcf(tmp_path / "v.vcf", [("c", 21, ".", "A", "C", ".", ".", ".")])
    words_of = ["score-variants", str(tmp_path / "model"), str(fasta), "--window", "32", "--device", "cpu"]
    assert main([*words_of, "--vcf", str(vcf), "--out", str(tmp_path / "o.vcf")]) == 0
    assert main([*words_of, "--all_snvs", "--out", str(tmp_path / "s.npy")]) == 0
    told = capsys.readouterr().err
    pattern = f"16 of 40 letters of the FASTA are lower case and read as {token}"
    written = [(tmp_path / name).read_text() for name in ("o.vcf", "o.vcf.json", "s.npy.json")]
    if policy == "upper":
        assert not told
        assert not any("lower case" in text for text in written)
        return
    assert len(re.findall(pattern, told)) == 2
    assert all(re.search(pattern, text) for text in written)
