"""Scores of generated clips through a classifier."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile

from seqaudio.cli import main
from seqaudio.data import find_audio
from seqaudio.evaluation import score_generated
from seqsuite import create_model
from seqsuite.errors import UserError

RATE = 8000


class Loudness:
    """Knows a clip by its level: features are mean and power, the class is loud or quiet."""

    rate = RATE

    def embed(self, waves):
        power = np.array([np.square(wave.astype(np.float64)).mean() for wave in waves])
        loud = 1 / (1 + np.exp(-200 * (power - 0.02)))
        return np.stack([[wave.mean() for wave in waves], power], 1), np.stack([loud, 1 - loud], 1)


@pytest.fixture
def clips(tmp_path):
    def make(name: str, levels) -> tuple:
        folder = tmp_path / name
        folder.mkdir()
        for number, level in enumerate(levels):
            noise = np.random.default_rng(number).normal(0, level, 4000).clip(-1, 1)
            soundfile.write(folder / f"{number:03d}.wav", noise, RATE, subtype="FLOAT")
        return find_audio(folder).files

    return make


def test_equal_sets_are_at_no_distance_and_others_are(clips) -> None:
    levels = [0.05, 0.3] * 10
    real, same, quiet = clips("real", levels), clips("same", levels), clips("quiet", [0.05] * 20)
    equal, other = (score_generated(Loudness(), real, made) for made in (same, quiet))
    assert equal.fid == pytest.approx(0, abs=1e-12)
    assert equal.ndb == 0
    assert equal.inception_score == pytest.approx(equal.real_inception_score)
    assert other.fid > 1e-4
    assert other.ndb > equal.ndb
    # One class alone: no more to tell apart than one kind of clip.
    assert other.inception_score < 1.01 < 1.3 < other.real_inception_score
    assert other.am_score > equal.am_score
    assert (other.real, other.generated, other.bins) == (20, 20, 10)


def test_the_scores_say_what_they_rest_on(clips) -> None:
    levels = [0.05, 0.3]
    scores = score_generated(Loudness(), clips("real", levels), clips("made", levels), name="runs/digits")
    assert "runs/digits" in scores.title
    assert "never with published ones" in scores.title
    assert scores.to_dict()["note"] == scores.title
    with pytest.raises(UserError, match="two generated files"):
        score_generated(Loudness(), clips("again", levels), clips("few", [0.1]))


def test_a_classifier_of_the_command_line_gives_all_scores(load_debug, clips, tmp_path, capsys) -> None:
    load_debug("sashimi_debug")
    classifier = tmp_path / "digits" / "model"
    create_model("wave_classifier_debug", sample_rate=RATE, num_classes=3).save_pretrained(classifier)
    (classifier / "classes.json").write_text(json.dumps({"classes": ["a", "b", "c"], "sample_rate": RATE}))
    clips("real", [0.05, 0.3] * 3)
    clips("made", [0.1] * 4)
    places = [str(tmp_path / name) for name in ("model_sashimi_debug", "real")]
    more = ["--generated", str(tmp_path / "made"), "--classifier", str(tmp_path / "digits")]
    assert main(["evaluate", *places, "--baselines", "false", *more, "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)["generated"]
    assert (scores["real"], scores["generated"]) == (6, 4)
    assert scores["fid"] >= 0
    assert 1 <= scores["inception_score"] <= 3
    assert "digits" in scores["note"]
    assert "never with published ones" in scores["note"]
    assert main(["evaluate", *places, "--generated", str(tmp_path / "made")]) == 2
    assert "--classifier" in capsys.readouterr().err
