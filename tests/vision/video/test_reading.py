"""Decoding: every frame as it was written, sought or not; colour, rotation, times; damaged files."""

from __future__ import annotations

import subprocess
import sys
import wave
from fractions import Fraction

import av
import numpy as np
import pytest

from seqsuite.errors import UserError
from seqvision.data import video_reading
from seqvision.data.video_reading import check_video, index_video, read_frames
from seqvision.data.video_writing import write_video

from .conftest import LOSSLESS, moving


@pytest.mark.parametrize("name", LOSSLESS)
def test_frames_come_back_bit_for_bit(lossless, frames, name):
    video = index_video(lossless / name)
    assert video.count == len(frames)
    np.testing.assert_array_equal(read_frames(video, np.arange(len(frames))), frames)


@pytest.mark.parametrize("name", LOSSLESS)
def test_a_sought_frame_is_the_frame_of_that_number(lossless, frames, name):
    video = index_video(lossless / name)
    for number in (0, 1, 9, 10, 11, 12, 13, 23, 24, 38, 39):
        np.testing.assert_array_equal(read_frames(video, [number])[0], frames[number], err_msg=str(number))


@pytest.mark.parametrize("name", LOSSLESS)
@pytest.mark.parametrize("numbers", [[30, 5, 11, 5], [39, 0], list(range(7, 31)), list(range(3, 40, 9))])
def test_any_choice_is_decoding_all_and_slicing(lossless, frames, name, numbers):
    np.testing.assert_array_equal(read_frames(index_video(lossless / name), numbers), frames[numbers])


def test_only_what_a_stretch_needs_is_decoded(lossless, monkeypatch):
    made = []
    picture = video_reading._picture
    monkeypatch.setattr(video_reading, "_picture", lambda frame: made.append(frame.pts) or picture(frame))
    seen = read_frames(index_video(lossless / "clip.mkv"), [33, 34, 20], each=lambda image: image[:4, :4])
    assert seen.shape == (3, 4, 4, 3)
    assert len(made) == 3


def test_the_seek_starts_at_the_key_frame_before(lossless, monkeypatch):
    decoded = []
    following = video_reading._next

    def counted(source, stamp):
        def each():
            for frame in source:
                decoded.append(frame.pts)
                yield frame

        return following(each(), stamp)

    monkeypatch.setattr(video_reading, "_next", counted)
    video = index_video(lossless / "long.avi")
    assert np.flatnonzero(video.keys).tolist() == [0, 12, 24, 36]
    read_frames(video, [26])
    assert decoded == video.stamps[24:27].tolist()


def test_times_are_those_written(tmp_path):
    video = index_video(write_video(tmp_path / "a.mp4", moving(20), rate=12.5, codec="libx264"))
    np.testing.assert_allclose(video.times, np.arange(20) / 12.5, atol=1e-4)


def test_uneven_times_are_kept(tmp_path):
    frames, ticks = moving(6), [0, 40, 50, 200, 210, 1000]
    with av.open(str(tmp_path / "uneven.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "bgr0"
        stream.codec_context.time_base = Fraction(1, 1000)
        for picture, tick in zip(frames, ticks, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = tick, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    video = index_video(tmp_path / "uneven.mkv")
    np.testing.assert_allclose(video.times * 1000, ticks, atol=1e-6)
    np.testing.assert_array_equal(read_frames(video, [5, 3])[0], frames[5])


def test_a_stream_without_times_is_counted(tmp_path):
    frames = moving(12)
    write_video(tmp_path / "a.mp4", frames, codec="libx264rgb", options={"qp": "0", "bf": "0"})
    with av.open(str(tmp_path / "a.mp4")) as source, (tmp_path / "bare.h264").open("wb") as out:
        stream = source.streams.video[0]
        annexb = av.BitStreamFilterContext("h264_mp4toannexb", stream)
        for packet in source.demux(stream):
            for part in annexb.filter(packet):
                out.write(bytes(part))
    video = index_video(tmp_path / "bare.h264")
    assert video.count == 12
    np.testing.assert_array_equal(read_frames(video, [7, 2, 11]), frames[[7, 2, 11]])


@pytest.mark.parametrize("turn", [1, 2, 3])
def test_frames_are_turned_as_the_file_says(tmp_path, frames, turn):
    path = write_video(tmp_path / "a.mp4", frames[:3], codec="libx264rgb", options={"qp": "0"}, turn=turn)
    np.testing.assert_array_equal(read_frames(index_video(path), [1])[0], np.rot90(frames[1], turn))


def _flat(path, height: int, *, matrix: int, yuv: tuple[int, int, int], full: bool = False):
    """Write one colour without loss as YUV, with a matrix number of H.273 (2: none named)."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"qp": "0"})
        stream.height, stream.width = height, 64
        stream.pix_fmt = "yuv444p"
        stream.codec_context.colorspace = matrix
        stream.codec_context.color_range = 2 if full else 1
        frame = av.VideoFrame(64, height, "yuv444p")
        for plane, value in zip(frame.planes, yuv, strict=True):
            plane.update(bytes([value]) * plane.buffer_size)
        frame.colorspace, frame.color_range = matrix, 2 if full else 1
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def _rgb(yuv: tuple[int, int, int], kr: float, kb: float, full: bool) -> np.ndarray:
    """ITU-R BT.601 and BT.709, section 3: from digital Y'CbCr to R'G'B' on a scale of 255."""
    y, cb, cr = (yuv[0], yuv[1] - 128, yuv[2] - 128) if full else (
        (yuv[0] - 16) * 255 / 219,
        (yuv[1] - 128) * 255 / 224,
        (yuv[2] - 128) * 255 / 224,
    )  # fmt: skip
    red, blue = y + 2 * (1 - kr) * cr, y + 2 * (1 - kb) * cb
    return np.array([red, (y - kr * red - kb * blue) / (1 - kr - kb), blue])


BT601, BT709 = (0.299, 0.114), (0.2126, 0.0722)


@pytest.mark.parametrize(
    ("height", "matrix", "full", "weights"),
    [
        (64, 1, False, BT709),
        (64, 6, False, BT601),
        (64, 6, True, BT601),
        (64, 2, False, BT601),
        (720, 2, False, BT709),
        (720, 6, False, BT601),
    ],
)
def test_colours_follow_the_matrix_and_the_range(tmp_path, height, matrix, full, weights):
    yuv = (120, 90, 180)
    path = _flat(tmp_path / "flat.mp4", height, matrix=matrix, yuv=yuv, full=full)
    seen = read_frames(index_video(path), [0])[0]
    assert np.abs(seen - _rgb(yuv, *weights, full)).max() < 2


def test_real_video_agrees_with_the_frames_kept_beside_it(real_data):
    kept = np.load(real_data / "vision" / "bigbuckbunny_72x128.npz")
    video = index_video(real_data / "vision" / "bigbuckbunny.mp4")
    assert video.count == 132
    numbers = [0, 40, 128]

    def tenth(image: np.ndarray) -> np.ndarray:
        return image.reshape(72, 10, 128, 10, 3).mean((1, 3))

    seen = read_frames(video, numbers, each=tenth)
    assert np.abs(seen - kept["frames"][[0, 10, 32]]).mean() < 6


def _sound(path):
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(16000))
    return path


@pytest.mark.parametrize(
    ("name", "make", "say"),
    [
        ("gone.mp4", lambda path: path, "there is no such file"),
        ("empty.mp4", lambda path: path.write_bytes(b""), "0 bytes"),
        ("text.mp4", lambda path: path.write_text("no video " * 100), "cannot be read as a video"),
        ("sound.wav", _sound, "no video stream"),
    ],
)
def test_bad_files_are_named(tmp_path, name, make, say):
    path = tmp_path / name
    make(path)
    for read in (check_video, index_video):
        with pytest.raises(UserError, match=say) as caught:
            read(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_file_that_was_cut_off_is_named(lossless, tmp_path):
    whole = (lossless / "clip.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"cut\.mp4"):
        index_video(tmp_path / "cut.mp4")


def test_a_frame_that_was_overwritten_is_never_returned_as_another(lossless, frames, tmp_path):
    whole = bytearray((lossless / "clip.mkv").read_bytes())
    middle = len(whole) // 2
    whole[middle : middle + 3000] = bytes(3000)
    (tmp_path / "hole.mkv").write_bytes(bytes(whole))
    video = index_video(tmp_path / "hole.mkv")
    wrong = 0
    for number in range(video.count):
        place = int(np.argmin(np.abs(np.arange(40) / 25 - video.times[number])))
        try:
            seen = read_frames(video, [number])[0]
        except UserError as error:
            assert "hole.mkv" in str(error)  # noqa: PT017 - some frames are whole, and which is the codec's affair
            wrong += 1
            continue
        others = np.abs(frames.astype(int) - seen).mean((1, 2, 3))
        assert int(np.argmin(others)) == place
        wrong += bool(others[place])
    assert video.count - wrong >= 20
    assert video.count < 40 or wrong


def test_a_changed_file_is_indexed_anew(tmp_path):
    path = write_video(tmp_path / "a.mkv", moving(5))
    assert index_video(path).count == 5
    write_video(path, moving(8))
    assert index_video(path).count == 8


def test_a_number_out_of_range_is_our_fault(lossless):
    video = index_video(lossless / "clip.mkv")
    for numbers in ([40], [-1], []):
        with pytest.raises(IndexError):
            read_frames(video, numbers)


def test_reading_video_needs_no_torch():
    code = "import seqvision.data.video_reading, seqvision.data.video_sampling, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
