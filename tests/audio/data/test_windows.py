"""Windows are a pure function of seed and position, cover what they should, and cost no more memory than themselves."""

from __future__ import annotations

import pickle
import tracemalloc
from collections import Counter

import numpy as np
import pytest
import soundfile
import torch

from seqaudio.data import Windows, find_audio, probe, read_audio, split_files
from seqaudio.data.reading import OpenFiles
from seqaudio.quantization import Quantizer
from seqsuite.data import PositionBatches, ScoringBatches, make_loader
from seqsuite.errors import UserError

from .conftest import noise, put

LENGTH = 1000


def windows(source, **options) -> Windows:
    return Windows(find_audio(source).files, **({"length": LENGTH, "rate": 8000, "train": True} | options))


def test_held_out_windows_cover_every_sample_of_every_file_once(clips):
    put(clips / "tiny.wav", noise(123, seed=9), subtype="FLOAT")
    held_out = windows(clips, train=False, length=700)
    items = [held_out[i] for i in range(len(held_out))]
    joined = torch.cat([item["samples"][item["valid"]] for item in items])
    given = np.concatenate([read_audio(file, rate=8000) for file in held_out.files])
    assert np.array_equal(joined.numpy(), given)
    assert all(item["samples"].shape == (700, 1) and not item["samples"][~item["valid"]].any() for item in items)
    for number in (-1, len(held_out)):
        with pytest.raises(IndexError):
            held_out[number]


def test_training_windows_lie_in_their_files_and_every_start_is_equally_likely(tmp_path):
    put(tmp_path / "a.wav", noise(27, seed=1), subtype="FLOAT")
    put(tmp_path / "b.wav", noise(10, seed=2), subtype="FLOAT")
    train = windows(tmp_path, length=10, seed=3)
    assert len(train) == 3
    epochs = 3000
    places = [train.place(position) for position in range(3 * epochs)]
    assert {place.first for place in places if place.file == 1} == {0}
    starts = Counter(place.first for place in places if place.file == 0)
    assert set(starts) == set(range(18))
    assert all(abs(count - 2 * epochs / 18) < 6 * (2 * epochs / 18) ** 0.5 for count in starts.values())
    for epoch in range(0, 3 * epochs, 3):  # each epoch has one window of each part of each file
        first = sorted((place.file, place.first >= 9) for place in places[epoch : epoch + 3])
        assert first == [(0, False), (0, True), (1, False)]
    for place in places[:20]:
        whole = read_audio(train.files[place.file], rate=8000)
        found = train[places.index(place)]["samples"].numpy()
        assert np.array_equal(found, whole[place.first : place.first + 10])


def test_an_item_depends_on_seed_and_position_alone(clips):
    one, two, other = windows(clips, seed=5), windows(clips, seed=5, open_files=1), windows(clips, seed=6)
    forward = [one[position]["samples"] for position in range(40)]
    backward = [two[position]["samples"] for position in reversed(range(40))][::-1]
    assert all(torch.equal(a, b) for a, b in zip(forward, backward, strict=True))
    assert torch.equal(one[np.int64(3)]["samples"], forward[3])
    assert not all(torch.equal(forward[position], other[position]["samples"]) for position in range(40))


def test_files_come_in_another_order_in_every_epoch(clips):
    train = windows(clips)
    epochs = [tuple(train.place(60 * epoch + rank).file for rank in range(60)) for epoch in range(4)]
    assert len({*epochs, tuple(sorted(epochs[0]))}) == 5
    assert all(sorted(epoch) == sorted(epochs[0]) for epoch in epochs)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_goes_on_in_the_middle_of_an_epoch(clips, workers):
    train = windows(clips, seed=1, quantizer=Quantizer(8))
    whole = [train[position]["codes"] for position in range(48)]
    assert len(train) == 60
    train[0]  # a file is open here when the workers are forked
    rest = make_loader(train, PositionBatches(steps=6, batch_size=8, start=2), workers=workers)
    assert torch.equal(torch.cat([batch["codes"] for batch in rest]), torch.stack(whole[16:]))


def test_files_are_open_once_a_process_and_few_at_a_time(clips):
    train = windows(clips, open_files=2)
    for position in range(60):
        train[position]
        assert 1 <= len(train._open) <= 2
    copy = pickle.loads(pickle.dumps(train))
    assert len(copy._open) == 0
    assert torch.equal(copy[7]["samples"], train[7]["samples"])


def test_an_open_file_of_another_process_is_not_used(clips, monkeypatch):
    files = OpenFiles(2)
    path = clips / "c1.wav"
    mine = files.get(path)
    assert files.get(path) is mine
    monkeypatch.setattr("seqaudio.data.reading.os.getpid", lambda: -1)
    assert files.get(path) is not mine


@pytest.mark.parametrize("kind", ["mu_law", "linear"])
def test_codes_are_those_of_the_samples_and_silence_behind_the_end(clips, kind):
    quantizer = Quantizer(6, kind)
    codes = windows(clips, train=False, length=3000, quantizer=quantizer)
    samples = windows(clips, train=False, length=3000)
    for number in range(len(codes)):
        item, plain = codes[number], samples[number]
        assert item["codes"].dtype == torch.int64
        assert torch.equal(item["codes"], quantizer.encode(plain["samples"][:, 0]))
        assert (item["codes"][~item["valid"]] == quantizer.zero).all()
        assert torch.equal(item["valid"], plain["valid"])


def test_any_rate_and_channel_count_gives_windows_of_the_models(tmp_path):
    for number, (rate, channels) in enumerate([(44100, 2), (8000, 1), (16000, 3)]):
        put(tmp_path / f"{number}.wav", noise(rate, channels), rate)
    train = windows(tmp_path, rate=16000, length=4000)
    assert all(train[position]["samples"].shape == (4000, 1) for position in range(len(train)))
    assert all(train[position]["valid"].all() for position in range(len(train)))
    with pytest.raises(UserError, match=r"0\.wav has 2 channels, 3 are wanted"):
        windows(tmp_path, rate=16000, channels=3)


def test_normalization_is_by_window(clips):
    item = windows(clips, normalize="peak")[3]["samples"]
    assert item.abs().max() == 1
    scaled = windows(clips, normalize="minmax")[3]["samples"]
    assert scaled.min() == -1
    assert scaled.max() == pytest.approx(1, abs=1e-5)


def test_clips_shorter_than_a_window(clips):
    with pytest.raises(UserError, match=r"c1\.wav is 0\.5 s long, shorter than a window of 0\.75 s; choose a shorter"):
        windows(clips, length=6000)
    left = windows(clips, length=6000, short="skip")
    assert [path.name for path, _ in left.too_short] == ["c1.wav"]
    assert len(left.files) == 4
    padded = windows(clips, length=6000, short="pad")
    items = [padded[position] for position in range(len(padded))]
    assert sum(int(item["valid"].sum()) == 4000 for item in items) == 1
    assert min(int(item["valid"].sum()) for item in items) == 4000
    with pytest.raises(UserError, match="none of the 5 sound files is as long as a window"):
        windows(clips, length=10**6, short="skip")


@pytest.fixture
def damaged(tmp_path):
    """One good file of 1 s and one of 10 s of which the second half is lost."""
    put(tmp_path / "good.wav", noise(8000))
    path = put(tmp_path / "lost.flac", noise(80_000))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return tmp_path


@pytest.mark.parametrize("workers", [0, 2])
def test_what_cannot_be_read_is_an_error_or_skipped_and_listed(damaged, workers):
    strict = windows(damaged)
    with pytest.raises(UserError, match=r"lost\.flac: "):
        [strict[position] for position in range(len(strict))]
    train = windows(damaged, on_error="skip")
    assert train.skipped == ()
    batches = list(make_loader(train, PositionBatches(steps=11, batch_size=8), workers=workers))
    assert all(batch["valid"].all() for batch in batches)
    again = windows(damaged, on_error="skip")
    assert torch.equal(batches[3]["samples"][0], again[24]["samples"])
    [(path, why)] = train.skipped
    assert path == damaged / "lost.flac"
    assert why.startswith(f"{path}: damaged or cut off")


def test_held_out_samples_that_cannot_be_read_do_not_count(damaged):
    held_out = windows(damaged, train=False, on_error="skip")
    counted = sum(int(batch["valid"].sum()) for batch in make_loader(held_out, ScoringBatches(len(held_out), rows=4)))
    assert 8000 + 30_000 < counted < 8000 + 50_000
    assert [path.name for path, _ in held_out.skipped] == ["lost.flac"]


def test_nothing_readable_ends_with_an_error(tmp_path):
    put(tmp_path / "nan.wav", noise(8000) * np.nan, subtype="FLOAT")
    with pytest.raises(UserError, match=r"16 windows in a row cannot be read; the last: .*nan\.wav: sample"):
        windows(tmp_path, on_error="skip")[0]


def test_a_silent_clip_is_taken(tmp_path):
    put(tmp_path / "silent.wav", np.zeros((LENGTH, 1)))
    for kind in ("mu_law", "linear"):
        assert (windows(tmp_path, quantizer=Quantizer(8, kind))[0]["codes"] == 128).all()
    assert not windows(tmp_path, normalize="peak")[0]["samples"].any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 0}, "at least one sample"),
        ({"channels": 2, "quantizer": Quantizer(8)}, "codes are made of one channel, not of 2"),
        ({"short": "cut"}, "Unknown policy for short files 'cut'"),
        ({"on_error": "ignore"}, "Unknown on_error 'ignore'"),
        ({"normalize": "peek"}, "Unknown normalization 'peek'. Did you mean 'peak'"),
    ],
)
def test_options_that_do_not_fit(clips, options, message):
    with pytest.raises(UserError, match=message):
        windows(clips, **options)
    with pytest.raises(UserError, match="no sound file"):
        Windows((), length=1, rate=1, train=False)


def test_stretches_of_one_file_share_no_sample(tmp_path):
    given = np.arange(8000, dtype=np.float32)[:, None] / 8000
    file = probe(put(tmp_path / "a.wav", given, subtype="FLOAT"))
    parts = split_files([file], 0.2, 0.2, gap_seconds=0.05)
    seen = []
    for part in (parts.train, parts.valid, parts.test):
        held_out = Windows(part, length=100, rate=8000, train=False)
        items = [held_out[i] for i in range(len(held_out))]
        seen.append({round(8000 * float(x)) for item in items for x in item["samples"][item["valid"]]})
    train, valid, test = seen
    assert min(valid) - max(train) > 400
    assert min(test) - max(valid) > 400
    assert max(test) <= 7999


def long_file(path, seconds, rate, channels):
    with soundfile.SoundFile(path, "w", rate, channels, subtype="PCM_16") as handle:
        block = noise(10 * rate, channels)
        for _ in range(seconds // 10):
            handle.write(block)
    return path


@pytest.mark.parametrize(("ending", "to"), [("wav", 16000), ("flac", 16000), ("wav", 11025)])
def test_windows_of_a_long_file_take_the_memory_of_a_window(tmp_path, ending, to):
    file = probe(long_file(tmp_path / f"long.{ending}", 600, 16000, 2))
    assert file.frames * 8 == 76_800_000  # bytes as floats
    train = Windows([file], length=to, rate=to, train=True, quantizer=Quantizer(8))
    train[0]
    tracemalloc.start()
    for position in range(25):
        train[position]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3_000_000
