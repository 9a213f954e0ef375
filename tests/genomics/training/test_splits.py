"""Splits and windows of `pretrain`: what is trained on is never what is measured on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from seqdna.configs import PretrainConfig
from seqdna.data import Genome, Interval, Splits, total_length
from seqdna.evaluation import language_sites
from seqdna.pretraining.inputs import resolve_model
from seqdna.pretraining.splits import open_splits
from seqsuite.errors import UserError


@pytest.fixture(scope="module")
def genome() -> Genome:
    draws = np.random.default_rng(1).integers(0, 4, 9000)
    text = "".join("ACGT"[i] for i in draws)
    return Genome.from_sequences({"chr1": text[:5000], "chr2": text[5000:8000], "chr3": text[8000:]})


@pytest.fixture
def bed(tmp_path) -> str:
    path = tmp_path / "split.bed"
    rows = [("chr1", 0, 900, "train"), ("chr1", 800, 1000, "valid"), ("chr1", 1500, 1600, "train"),
            ("1", 1620, 1700, "test"), ("chr2", 10, 2000, "train")]  # fmt: skip
    path.write_text("".join(f"{r}\t{a}\t{b}\t{s}\n" for r, a, b, s in rows))
    return str(path)


def touched(genome: Genome, windows, length: int, positions: int) -> np.ndarray:
    """Return which bases of the genome the first windows hold: (bases,) bool."""
    seen = np.zeros(genome.length, dtype=bool)
    for p in range(positions):
        start = windows.start(p)
        seen[start : start + length] = True
        assert (windows.ids(p) == genome.tokens[start : start + length]).all()
    return seen


def covered_by(genome: Genome, intervals) -> np.ndarray:
    found = np.zeros(genome.length, dtype=bool)
    for i in intervals:
        first = genome.coordinate(i.record, i.start)
        found[first : first + len(i)] = True
    return found


@pytest.mark.parametrize("windows", ["random", "tiled", "hyenadna"])
@pytest.mark.parametrize("by", ["blocks", "chromosomes", "intervals"])
@pytest.mark.parametrize("stage", [16, 64])
def test_no_training_window_touches_held_out_bases(genome, bed, windows, by, stage) -> None:
    options = {
        "blocks": {},
        "chromosomes": {"valid_chromosomes": "2", "test_chromosomes": "chr3"},
        "intervals": {"intervals": bed},
    }[by]
    if windows == "hyenadna" and by != "intervals":
        with pytest.raises(UserError, match="--windows hyenadna is a recipe for --intervals"):
            PretrainConfig(windows=windows, length=64, **options)
        return
    config = PretrainConfig(windows=windows, length=64, **options)
    splits, make = open_splits(config, genome)
    trained = touched(genome, make(stage), stage, 300)
    assert trained.any()
    assert not (trained & covered_by(genome, [*splits.valid, *splits.test])).any()
    if windows != "hyenadna":
        assert not (trained & ~covered_by(genome, splits.train)).any()
    assert total_length(splits.valid) > 0


def test_tiled_windows_cover_each_base_once_an_epoch(genome) -> None:
    config = PretrainConfig(windows="tiled", length=50, valid_chromosomes="chr2", test_chromosomes="chr3")
    windows = open_splits(config, genome)[1](50)
    assert sorted(windows.start(p) for p in range(len(windows))) == list(range(0, 5000, 50))


def test_the_caduceus_recipe_needs_a_length_that_divides_its_extent(genome, bed) -> None:
    with pytest.raises(UserError, match="60 does not divide"):
        open_splits(PretrainConfig(windows="caduceus", length=60, intervals=bed), genome)


def test_the_caduceus_recipe_tiles_from_the_start_of_each_interval(genome, tmp_path) -> None:
    """On records shorter than 2^20 an interval takes the whole record."""
    path = tmp_path / "r.bed"
    path.write_text("chr1\t40\t90\ttrain\nchr2\t0\t10\tvalid\nchr3\t0\t10\ttest\n")
    splits, make = open_splits(PretrainConfig(windows="caduceus", length=64, intervals=str(path)), genome)
    assert [str(i) for part in (splits.train, splits.valid, splits.test) for i in part] == [
        "chr1:0-5000", "chr2:0-3000", "chr3:0-1000"
    ]  # fmt: skip
    starts = sorted(make(32).start(p) for p in range(5000 // 32))
    assert starts == list(range(0, 5000 - 31, 32))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"valid_chromosomes": "chr2"}, "belong together"),
        ({"valid_chromosomes": "chr2", "test_chromosomes": "chr3", "intervals": "x.bed"}, "both split the genome"),
        ({"windows": "caduceus"}, "is a recipe for --intervals"),
    ],
)
def test_options_that_do_not_fit(options, message) -> None:
    with pytest.raises(UserError, match=message):
        PretrainConfig(**options)


def test_a_filter_that_is_too_short_and_a_word_for_a_number_are_refused() -> None:
    config = PretrainConfig(model="hyenadna_debug", length=64, model_options={"mixer_options": {"l_max": 80}})
    assert resolve_model(config)[0].mixer_options["l_max"] == 80
    with pytest.raises(UserError, match="takes at most 60 bases"):
        resolve_model(replace(config, model_options={"mixer_options": {"l_max": 60}}))
    with pytest.raises(UserError, match="l_max is 'lots'; it must be a whole number above 0"):
        resolve_model(replace(config, model_options={"mixer_options": {"l_max": "lots"}}))


def test_causal_sites_are_the_same_bases_with_all_that_comes_before(genome) -> None:
    splits, _ = open_splits(PretrainConfig(valid_fraction=0.2, test_fraction=0.5), genome)
    centred, ending = (
        language_sites(splits.test, genome, 400, 64, objective=o, seed=3) for o in ("masked_lm", "causal_lm")
    )
    assert set(ending.coordinate) <= set(centred.coordinate)
    assert len(centred) - len(ending) <= len(splits.test)
    inside = covered_by(genome, splits.test)
    borders = {genome.coordinate(i.record, i.start) for i in splits.test}
    for coordinate, start, offset in zip(ending.coordinate, ending.start, ending.offset, strict=True):
        assert inside[start : start + 64].all()
        first = max(b for b in borders if b <= coordinate)
        assert offset == min(63, coordinate - first) > 0
        assert first <= start
    windows = ending.windows(slice(None))
    assert (windows[np.arange(len(ending)), ending.offset] == ending.target).all()


@pytest.mark.parametrize("windows", ["random", "hyenadna"])
def test_intervals_must_hold_something_out(genome, tmp_path, windows) -> None:
    path = tmp_path / "split.bed"
    for lacking, rest in (("valid", "chr2\t0\t500\ttest\n"), ("test", "chr2\t0\t500\tvalid\n")):
        path.write_text(f"chr1\t0\t900\ttrain\n{rest}")
        with pytest.raises(UserError, match=rf"split.bed: no interval is marked {lacking} in column 4"):
            open_splits(PretrainConfig(intervals=str(path), length=64, windows=windows), genome)


def test_a_wrong_chromosome_names_file_and_flags(genome) -> None:
    config = PretrainConfig(fasta="x.fa", valid_chromosomes="chr9", test_chromosomes="chr3")
    with pytest.raises(UserError, match=r"x.fa, the split by --valid_chromosomes.* [uU]nknown record 'chr9'. Did you"):
        open_splits(config, genome)


def test_more_bases_than_can_be_counted_are_refused_before_training(genome, monkeypatch) -> None:
    from seqdna.pretraining import inputs

    whole = Interval("chr1", 0, 2**32)
    monkeypatch.setattr(inputs, "open_genome", lambda *_: genome)
    monkeypatch.setattr(inputs, "open_splits", lambda *_: (Splits((whole,), (), ()), None))
    config = PretrainConfig(fasta="huge.fa")
    with pytest.raises(UserError, match=r"huge.fa, the training part: Count models take .* or --baselines false"):
        inputs.open_inputs(config, resolve_model(config)[0])
