"""FLAC sizes, and all baselines together."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import weakref
from dataclasses import dataclass

import numpy as np
import pytest
import soundfile

from seqaudio.baselines import ReadClips, audio_baselines, blocks_of, flac_size, nlms
from seqaudio.baselines.flac import _encode, metadata_bytes
from seqsuite.errors import UserError


@dataclass
class Linear:
    bits: int = 8

    def decode(self, codes):
        return (codes / 2 ** (self.bits - 1) - 1).astype(np.float32)


def tone(n, seed, levels=256):
    phase = np.random.default_rng(seed).uniform(0, 6)
    x = 0.3 * np.sin(0.05 * np.arange(n) + phase) + np.random.default_rng(seed).normal(0, 0.02, size=n)
    return np.clip(np.rint((x + 1) * levels / 2), 0, levels - 1).astype(np.int64)


@pytest.fixture
def result(monkeypatch):
    monkeypatch.setattr(nlms, "STEP_SIZES", (0.01,))
    told = []
    found = audio_baselines(
        [tone(3000, 1)],
        [tone(2000, 2)],
        [tone(2500, 3), tone(1300, 4)],
        quantizer=Linear(),
        rate=1000,
        block_seconds=0.25,
        progress=told.append,
    )
    assert len(told) == 6
    return found


@pytest.mark.parametrize("bits", [1, 4, 8, 12, 16])
def test_flac_holds_the_very_codes(bits):
    codes = np.random.default_rng(0).integers(2**bits, size=5000)
    file = _encode(codes, bits, 16_000)
    samples, rate = soundfile.read(io.BytesIO(file), dtype="int16")
    assert rate == 16_000
    np.testing.assert_array_equal((samples.astype(int) >> (8 if bits <= 8 else 0)) + 2 ** (bits - 1), codes)


def test_flac_counts_every_byte_once():
    clips = [tone(3000, 1), tone(2000, 2)]
    found = flac_size(clips, bits=8, rate=16_000)
    assert found.audio_bytes + found.header_bytes == sum(len(_encode(codes, 8, 16_000)) for codes in clips)
    assert found.samples == 5000
    assert found.bits_per_sample == 8 * found.audio_bytes / 5000


def test_flac_of_noise_and_of_silence():
    noise = [np.random.default_rng(0).integers(256, size=50_000)]
    assert 8 <= flac_size(noise, bits=8, rate=16_000).bits_per_sample < 8.1
    assert flac_size([np.full(50_000, 128)], bits=8, rate=16_000).bits_per_sample < 0.05
    assert 3 < flac_size([tone(50_000, 1)], bits=8, rate=16_000).bits_per_sample < 5


def test_metadata_ends_where_audio_begins():
    file = _encode(tone(3000, 1), 8, 16_000)
    place = metadata_bytes(file)
    assert file[place] == 0xFF  # every frame begins with the sync code 0xFFF8
    assert file[place + 1] & 0xFC == 0xF8
    with pytest.raises(ValueError, match="no FLAC file"):
        metadata_bytes(b"RIFF" + file[4:])


def test_flac_tells_what_it_cannot_do():
    with pytest.raises(UserError, match="not 20"):
        flac_size([tone(10, 1)], bits=20, rate=16_000)
    with pytest.raises(UserError, match="rate of 0"):
        flac_size([tone(10, 1)], bits=8, rate=0)
    with pytest.raises(UserError, match="test split holds no samples"):
        flac_size([], bits=8, rate=16_000)


def test_all_baselines_are_scored_on_the_same_samples(result):
    assert list(result.bits_per_sample) == ["order_0", "order_1", "lpc", "frame_lpc", "nlms", "flac"]
    assert result.samples == {"training": 3000, "validation": 2000, "test": 3800}
    assert all(found.samples == 3800 and found.blocks == 16 for found in result.intervals.values())
    assert all(found.low <= found.mean <= found.high for found in result.intervals.values())
    assert result.flac.samples == 3800
    bits = result.bits_per_sample
    assert bits[result.best] == min(bits.values()) < bits["order_1"] < bits["order_0"]


def test_a_model_is_compared_in_pairs(result):
    uniform = blocks_of([np.full(2500, 8.0), np.full(1300, 8.0)], result.block_length)
    found = result.difference("lpc", uniform)
    assert found.mean == pytest.approx(8 - result.bits_per_sample["lpc"])
    assert found.low > 0
    with pytest.raises(UserError, match="Did you mean 'frame_lpc'"):
        result.difference("frame_lcp", uniform)
    with pytest.raises(ValueError, match="same clips"):
        result.difference("lpc", blocks_of([np.full(1300, 8.0), np.full(2500, 8.0)], result.block_length))


def test_the_result_shows_itself(result):
    rows = result.table()
    assert [row["bits per sample"] for row in rows] == sorted(result.bits_per_sample.values(), reverse=True)
    assert len(result.figure().axes[0].patches) == len(rows)
    page = result._repr_html_()
    assert "frame_lpc" in page
    assert "<img" in page


def test_the_summary_is_json(result):
    summary = json.loads(json.dumps(result.to_dict()))
    assert summary["bits_per_sample"] == result.bits_per_sample
    assert summary["intervals"]["nlms"]["low"] == result.intervals["nlms"].low
    assert summary["choices"]["nlms"]["step_size"] == 0.01


class Lazy:
    """Clips made anew on every pass; notes how many of them are alive at once."""

    def __init__(self, seeds):
        self.seeds, self.alive, self.most, self.passes = seeds, 0, 0, 0

    def __iter__(self):
        self.passes += 1
        for seed in self.seeds:
            clip = tone(500, seed)
            self.alive += 1
            self.most = max(self.most, self.alive)
            weakref.finalize(clip, self.dropped)
            yield clip
            del clip

    def dropped(self):
        self.alive -= 1


def test_clips_are_read_anew_on_every_pass():
    read = []
    clips = ReadClips(["a", "bc"], lambda name: read.append(name) or np.arange(len(name)))
    assert [len(clip) for clip in clips] == [len(clip) for clip in clips] == [1, 2]
    assert read == ["a", "bc", "a", "bc"]
    assert flac_size(clips, bits=8, rate=16_000).samples == 3


def test_clips_from_disk_are_held_a_few_at_a_time(monkeypatch):
    monkeypatch.setattr(nlms, "STEP_SIZES", (0.01,))
    monkeypatch.setattr("seqaudio.baselines.clips._GROUP_SAMPLES", 1500)
    splits = [Lazy(range(first, first + 20)) for first in (0, 20, 40)]
    audio_baselines(*splits, quantizer=Linear(), rate=1000)
    # The group of three at work, and the next one as it is read.
    assert all(split.most <= 6 for split in splits)
    assert [split.passes for split in splits] == [5, 5, 7]


def test_high_resolutions_leave_out_what_they_cannot_have(monkeypatch):
    monkeypatch.setattr(nlms, "STEP_SIZES", (0.01,))
    clips = [tone(600, seed, 2**14) for seed in (1, 2, 3)]
    result = audio_baselines(clips[:1], clips[1:2], clips[2:], quantizer=Linear(14), rate=1000, block_seconds=0.1)
    assert list(result.bits_per_sample) == ["order_0", "lpc", "frame_lpc", "nlms", "flac"]


def test_bad_input_is_told():
    good = [tone(100, 1)]
    with pytest.raises(UserError, match="The test split holds no samples"):
        audio_baselines(good, good, [], quantizer=Linear(), rate=1000)
    with pytest.raises(UserError, match="two blocks"):
        audio_baselines(good, good, good, quantizer=Linear(), rate=16_000)
    with pytest.raises(ValueError, match="hold no sample"):
        audio_baselines(good, good, good, quantizer=Linear(), rate=1000, block_seconds=0)


def test_imports_stay_light():
    code = "import sys, seqaudio.metrics.signal, seqaudio.metrics.distribution, seqaudio.baselines.compare\n"
    code += "print([name for name in ('torch', 'scipy', 'sklearn', 'soundfile', 'matplotlib') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
