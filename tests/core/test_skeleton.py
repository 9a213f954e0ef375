"""`seqsuite new-plugin`: names that are taken and places that cannot be written are one line."""

from __future__ import annotations

import pytest

from seqsuite.cli import main
from seqsuite.errors import UserError
from seqsuite.skeleton import write_plugin


@pytest.mark.parametrize("modality", ["dna", "suite", "uence"])
def test_a_package_that_exists_is_not_written_again(tmp_path, monkeypatch, modality):
    (tmp_path / "sequence.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UserError, match=f"a package called 'seq{modality}' exists already"):
        write_plugin(modality, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_an_empty_folder_of_that_name_is_no_package(tmp_path, monkeypatch):
    (tmp_path / "seqtext").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert (write_plugin("text") / "pyproject.toml").is_file()


@pytest.mark.parametrize("place", ["file/x", "file/x/y", "dangling", "x" * 300, "a\0b"])
def test_a_place_that_cannot_be_written_is_one_line(tmp_path, place):
    (tmp_path / "file").write_text("")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere" / "at" / "all")
    with pytest.raises(UserError, match="cannot write the plugin there") as caught:
        write_plugin("text", tmp_path / place)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value.__cause__, OSError | ValueError)


def test_a_place_without_permission_is_one_line(tmp_path, monkeypatch):
    def refuse(*args, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    with pytest.raises(UserError, match=r"cannot write the plugin there \(Permission denied\)"):
        write_plugin("text", tmp_path / "new")


def test_an_empty_folder_flag_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["new-plugin", "text", "--folder", ""]) == 2
    assert "--folder is empty" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())
