"""What a folder or a manifest holds, in which order, and what is wrong with the rest."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from seqaudio.data import AudioFile, find_audio, fingerprint, probe, read_audio
from seqsuite.errors import UserError

from .conftest import noise, put

FORMATS = {
    "wav": 44100,
    "flac": 44100,
    "ogg": 22050,
    "mp3": 16000,
    "opus": 48000,
    "aiff": 11025,
    "au": 8000,
    "caf": 96000,
    "w64": 8000,
}


def refusal(source: Path, **options: str) -> str:
    with pytest.raises(UserError) as caught:
        find_audio(source, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("channels", [1, 2])
def test_headers_of_every_format(tmp_path, ending, channels):
    path = put(tmp_path / f"a.{ending}", noise(3000, channels), FORMATS[ending])
    assert find_audio(tmp_path).files == (AudioFile(path, FORMATS[ending], channels, 3000),)
    assert probe(path).seconds == 3000 / FORMATS[ending]


def test_folders_are_searched_below_in_natural_order_and_strangers_left_out(tmp_path):
    names = ["b/x.wav", "a10.wav", "a2.WAV", "A1.flac", "b/deep/er/y.ogg", "a/z.wav"]
    for name in names:
        put(tmp_path / name, noise(100))
    for name in ("notes.txt", "index.csv", ".hidden.wav", ".git/c.wav", "b/._x.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("no sound")
    found = [file.path.relative_to(tmp_path).as_posix() for file in find_audio(tmp_path).files]
    assert found == ["a/z.wav", "A1.flac", "a2.WAV", "a10.wav", "b/deep/er/y.ogg", "b/x.wav"]


def test_a_link_to_a_folder_is_followed_and_a_circle_ends(tmp_path):
    put(tmp_path / "disk" / "a.wav", noise(100))
    source = tmp_path / "source"
    source.mkdir()
    (source / "there").symlink_to(tmp_path / "disk", target_is_directory=True)
    (tmp_path / "disk" / "back").symlink_to(source, target_is_directory=True)
    assert [file.path for file in find_audio(source).files] == [source / "there" / "a.wav"]


def test_one_file_is_a_source(tmp_path):
    path = put(tmp_path / "a.wav", noise(100))
    assert [file.path for file in find_audio(str(path)).files] == [path]


@pytest.mark.parametrize(("ending", "column"), [("csv", "file"), ("tsv", "path"), ("jsonl", "file")])
def test_a_manifest_keeps_its_order_and_its_labels(tmp_path, ending, column):
    rows = [("sub/b, c.wav", "two"), ("a.wav", "one")]
    for name, _ in rows:
        put(tmp_path / name, noise(100))
    manifest = tmp_path / f"list.{ending}"
    if ending == "jsonl":
        lines = [json.dumps({column: name, "label": label, "seconds": 1}) for name, label in rows]
    else:
        mark = "," if ending == "csv" else "\t"
        lines = [mark.join((column, "label")), "", *(f'"{name}"{mark}{label}' for name, label in rows)]
    manifest.write_text("\n".join(lines), encoding="utf-8-sig")
    files = find_audio(manifest).files
    assert [(file.path, file.label) for file in files] == [(tmp_path / name, label) for name, label in rows]


def test_labels_come_from_the_column_asked_for(tmp_path):
    put(tmp_path / "a.wav", noise(100))
    manifest = tmp_path / "m.csv"
    manifest.write_text("file,group,name\na.wav,digits,seven\n")
    assert find_audio(manifest).files[0].label is None
    assert find_audio(manifest, label_column="name").files[0].label == "seven"
    assert "line 2: there is no column 'nam'. Did you mean 'name'?" in refusal(manifest, label_column="nam")
    assert "labels are read from a manifest" in refusal(tmp_path, label_column="name")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("m.csv", "file,label\na.wav,x\nno/such.wav,y\n", "m.csv, line 3: {folder}/no/such.wav: there is no such file"),
        ("m.csv", "file\na.wav\na.wav\n", "m.csv, line 3: {folder}/a.wav is listed already ({folder}/m.csv, line 2)"),
        (
            "m.csv",
            "file\na.wav\nb/../a.wav\n",
            "m.csv, line 3: {folder}/b/../a.wav is listed already ({folder}/m.csv, line 2)",
        ),
        ("m.csv", "sound\na.wav\n", "m.csv, line 2: there is no column 'file' or 'path'; found ['sound']"),
        ("m.csv", "file,label\na.wav\n", "m.csv, line 2: 1 columns, but the header has 2"),
        ("m.tsv", "file\tlabel\na.wav\t \n", "m.tsv, line 2: the column 'label' is empty"),
        ("m.csv", "file\n", "m.csv: the manifest lists no file"),
        ("m.csv", "", "m.csv: the manifest lists no file"),
        ("m.jsonl", '{"file": "a.wav"}\n\n{"file": \n', "m.jsonl, line 3: no JSON"),
        ("m.jsonl", '["a.wav"]\n', "m.jsonl, line 1: a row is an object"),
        ("m.jsonl", '{"file": 3}\n', "m.jsonl, line 1: the column 'file' is 3, which names no file"),
    ],
)
def test_a_manifest_that_does_not_work_names_its_line(tmp_path, name, text, message):
    put(tmp_path / "a.wav", noise(100))
    (tmp_path / name).write_text(text)
    assert message.format(folder=tmp_path) in refusal(tmp_path / name)


def test_a_missing_manifest_and_one_that_is_no_text(tmp_path):
    assert refusal(tmp_path / "m.csv") == f"{tmp_path}/m.csv: there is no such file"
    (tmp_path / "m.csv").write_bytes(b"\xff\xfe\x00\x81")
    assert "text in UTF-8" in refusal(tmp_path / "m.csv")


def bad_files(folder: Path) -> dict[str, str]:
    """Write one unreadable file of each kind; name -> part of what is said about it."""
    folder.mkdir(exist_ok=True)
    put(folder / "zero.wav", noise(0))
    (folder / "text.wav").write_text("this is a text, not a sound\n" * 9)
    (folder / "text.mp3").write_text("this is a text, not a sound\n" * 9)
    (folder / "empty.flac").touch()
    (folder / "phone.m4a").write_bytes(b"\0\0\0\x20ftypM4A " + bytes(80))
    (folder / "phone.wav").write_bytes(b"\0\0\0\x20ftypM4A " + bytes(80))
    whole = put(folder / "head.flac", noise(3000)).read_bytes()
    (folder / "head.flac").write_bytes(whole[:20])
    return {
        "zero.wav": "there is no sound in it (0 samples)",
        "text.wav": "no readable sound file (Format not recognised)",
        "text.mp3": "this is no mp3 file",
        "empty.flac": "the file is empty (0 bytes)",
        "phone.m4a": "convert it: ffmpeg -i phone.m4a phone.converted.flac",
        "phone.wav": "convert it: ffmpeg -i phone.wav",
        "head.flac": "no readable sound file",
    }


def test_every_bad_file_is_refused_in_one_line_that_names_it(tmp_path, capfd):
    for name, message in bad_files(tmp_path).items():
        line = refusal(tmp_path / name)
        assert line.startswith(f"{tmp_path / name}: ")
        assert message in line
    assert capfd.readouterr().err == ""


def test_bad_files_are_skipped_and_listed_only_when_asked(tmp_path):
    bad = bad_files(tmp_path)
    put(tmp_path / "good.wav", noise(100))
    assert refusal(tmp_path).startswith(f"{tmp_path / 'empty.flac'}: ")
    found = find_audio(tmp_path, on_error="skip")
    assert [file.path.name for file in found.files] == ["good.wav"]
    assert {path.name for path, _ in found.skipped} == set(bad)
    assert all(bad[path.name] in why for path, why in found.skipped)


def test_an_mp3_with_something_in_front_is_still_one(tmp_path):
    path = put(tmp_path / "a.mp3", noise(16_000), 16000)
    path.write_bytes(bytes(300) + path.read_bytes())
    assert probe(path).rate == 16000


@pytest.mark.skipif(os.name != "posix", reason="names are text elsewhere")
def test_a_name_that_is_no_utf8_is_read(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.wav")
    put(tmp_path / "a.wav", noise(100)).rename(path)
    [file] = find_audio(tmp_path).files
    assert read_audio(file, rate=8000).shape == (100, 1)
    assert fingerprint([file])


def test_nothing_left_is_an_error_even_when_skipping(tmp_path):
    bad_files(tmp_path)
    assert f"{tmp_path}: none of its 7 sound files can be read" in refusal(tmp_path, on_error="skip")


def test_an_empty_and_a_missing_folder(tmp_path):
    assert refusal(tmp_path).startswith(f"{tmp_path}: there is no sound file in it")
    assert refusal(tmp_path / "nowhere") == f"{tmp_path}/nowhere: there is no such file"
    assert "Unknown on_error 'ignore'" in refusal(tmp_path, on_error="ignore")


def test_what_may_not_be_read_says_so(tmp_path, monkeypatch):
    path = put(tmp_path / "a.wav", noise(100))
    if os.geteuid():
        path.chmod(0)
    else:  # nothing is closed to root

        def closed(self: Path, *_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied", str(self))

        monkeypatch.setattr(Path, "open", closed)
    assert refusal(tmp_path) == f"{path}: cannot be read (Permission denied)"


def test_a_fingerprint_changes_with_the_data_not_with_its_place(tmp_path):
    for folder, frames in (("one", 100), ("two", 100), ("three", 101)):
        put(tmp_path / folder / "a.wav", noise(frames))
    one, two, three = (fingerprint(find_audio(tmp_path / name).files) for name in ("one", "two", "three"))
    assert one == two != three


def test_a_name_with_a_zero_and_two_columns_of_one_name_are_told(tmp_path):
    (tmp_path / "zero.csv").write_text("file\na\0.wav\n")
    with pytest.raises(UserError, match=r"zero.csv, line 2: .* zero character"):
        find_audio(tmp_path / "zero.csv")
    (tmp_path / "two.csv").write_text("file,file\na.wav,b.wav\n")
    with pytest.raises(UserError, match=r"two.csv, line 1: there are two columns 'file'"):
        find_audio(tmp_path / "two.csv")
