"""torchaudio beside another torch is one line that names both, and reading needs no torch until it resamples."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata

import pytest

from seqaudio.data import torch_audio
from seqsuite.errors import UserError

from .conftest import noise, put


def pretend(monkeypatch, **versions: str | None) -> None:
    def version(name: str) -> str:
        if versions[name] is None:
            raise metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(torch_audio.metadata, "version", version)


def refusal() -> str:
    with pytest.raises(UserError) as caught:
        torch_audio.torchaudio()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_installed_pair_matches_and_loads():
    assert torch_audio.versions_match()
    assert torch_audio.torchaudio().functional.resample


def test_another_minor_version_is_refused_and_both_are_named(monkeypatch):
    pretend(monkeypatch, torch="2.13.0+cpu", torchaudio="2.11.0")
    assert not torch_audio.versions_match()
    line = refusal()
    assert "torchaudio 2.11.0 does not work with torch 2.13.0+cpu" in line
    assert "pip install 'torch==2.11.*' 'torchaudio==2.11.*'" in line


def test_an_older_torch_gets_its_own_partner(monkeypatch):
    pretend(monkeypatch, torch="2.10.0", torchaudio="2.11.0")
    assert "'torch==2.10.*' 'torchaudio==2.10.*'" in refusal()


def test_a_missing_torchaudio_is_told(monkeypatch):
    pretend(monkeypatch, torch="2.11.0", torchaudio=None)
    assert not torch_audio.versions_match()
    assert "torchaudio is not installed beside torch 2.11.0" in refusal()


def test_a_library_that_does_not_load_is_told(monkeypatch):
    def broken(name: str) -> None:
        raise OSError("libc10_cuda.so: cannot open shared object file\nmore")

    monkeypatch.setattr(torch_audio, "import_module", broken)
    assert "libc10_cuda.so: cannot open" in refusal()


def test_finding_and_reading_at_a_files_own_rate_load_no_torch(tmp_path):
    path = put(tmp_path / "a.wav", noise(100))
    code = (
        "import sys; from seqaudio.data import find_audio, read_audio, split_files; import seqaudio.quantization;"
        f"file = find_audio({str(path)!r}).files[0]; assert read_audio(file, rate=8000).shape == (100, 1);"
        "assert 'torch' not in sys.modules and 'torchaudio' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
