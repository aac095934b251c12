"""What people get wrong, or their machines: one sentence, exit code 2, and no file left over.

The fixture `refused` asserts all three.
"""

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import time

import av
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from mien.preprocess import face
from mien.preprocess.video import write_video


@pytest.fixture
def encode(refused, weights, tmp_path):
    """A photo that must be refused."""

    def run(photo):
        folder = tmp_path / "results"
        folder.mkdir()
        return refused("encode", photo, "-o", folder / "me.mien", "--weights", weights)

    return run


def test_a_photo_without_a_face(encode, photo, tmp_path):
    path = tmp_path / "helmet.png"
    with Image.open(photo) as image:
        image.crop((100, 250, 512, 512)).save(path)
    assert "No face was found" in encode(path)


def test_one_pixel(encode, tmp_path):
    path = tmp_path / "pixel.png"
    Image.new("RGB", (1, 1)).save(path)
    assert "No face was found" in encode(path)


def test_a_face_too_small(encode, photo, tmp_path):
    path = tmp_path / "small.png"
    with Image.open(photo) as image:
        image.resize((256, 256)).save(path)
    assert "too small" in encode(path)


def test_a_face_turned_too_far(encode, photo, monkeypatch):
    # As if the little that she turns were too much.
    monkeypatch.setattr(face, "MAX_YAW", 0.0)
    assert "to the side" in encode(photo)


def test_a_face_that_is_not_there(refused, photo, weights, tmp_path):
    output = tmp_path / "me.mien"
    said = refused("encode", photo, "-o", output, "--weights", weights, "--face", 3)
    assert "There is no face 3" in said


@pytest.mark.parametrize("content", [b"", b"no photo"])
def test_an_unreadable_photo(content, encode, tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    assert str(path) in encode(path)


def test_a_truncated_photo(encode, photo, tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(photo.read_bytes()[:20_000])
    assert "cut short" in encode(path)


def test_a_missing_photo(encode, tmp_path):
    assert "none.jpg" in encode(tmp_path / "none.jpg")


@pytest.fixture
def drive(refused, avatar, weights, tmp_path):
    """A driver that must be refused."""

    def run(driving, *options):
        folder = tmp_path / "results"
        folder.mkdir()
        command = ("animate", avatar, "--driving", driving, "-o", folder / "out.mp4")
        return refused(*command, "--weights", weights, "--size", 64, *options)

    return run


@pytest.mark.parametrize("content", [b"", b"no video"])
def test_an_unreadable_video(content, drive, tmp_path):
    path = tmp_path / "driving.mp4"
    path.write_bytes(content)
    assert str(path) in drive(path)


@pytest.mark.parametrize("share", [0.1, 0.7])
def test_a_truncated_video(share, drive, clip, tmp_path):
    path = tmp_path / "driving.mp4"
    content = clip.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert str(path) in drive(path)


def test_a_video_of_no_frames(drive, clip, tmp_path):
    path = tmp_path / "driving.mp4"
    with av.open(path, "w") as container, av.open(clip) as source:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        sound = source.streams.audio[0]
        target = container.add_stream_from_template(sound)
        for packet in source.demux(sound):
            if packet.dts is not None:
                packet.stream = target
                container.mux(packet)
    assert str(path) in drive(path)


def test_a_video_without_a_face(drive, tmp_path):
    path = tmp_path / "driving.mp4"
    write_video(path, [np.full((128, 128, 3), 90, np.uint8)] * 2, fps=25)
    assert "No face was found" in drive(path)


def test_a_missing_driver(drive, tmp_path):
    assert "does not exist" in drive(tmp_path / "none.mp4")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--size", 63), "--size"),
        (("--smooth", 2), "--smooth"),
        (("--strength", -1), "--strength"),
        (("--background", "sea"), "'sea' is no background"),
        (("--background", "original"), "does not keep the photo's background"),
        (("--weights", "none.safetensors"), "none.safetensors does not exist"),
        (("--weights", __file__), "is not a usable file of weights"),
        (("--device", "cuda"), "no CUDA GPU"),
    ],
)
def test_options_out_of_range(options, said, drive, take):
    if options == ("--device", "cuda") and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    assert said in drive(take, *options)


def test_a_moving_driver_makes_no_picture(refused, avatar, take, weights, tmp_path):
    command = ("animate", avatar, "--driving", take, "-o", tmp_path / "out.png")
    assert "out.png is a picture" in refused(*command, "--weights", weights)


def test_an_output_of_another_kind(refused, avatar, take, tmp_path):
    command = ("animate", avatar, "--driving", take, "-o", tmp_path / "out.gif")
    assert "must end in .mp4" in refused(*command)


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.jpg"])
def test_a_container_without_transparency(name, refused, avatar, photo, tmp_path):
    command = ("animate", avatar, "--driving", photo, "-o", tmp_path / name)
    said = refused(*command, "--background", "transparent")
    assert "cannot keep transparency; give a name that ends in .webm or .mov or .png" in said


def test_an_output_over_its_input(refused, clip, avatar, tmp_path):
    path = tmp_path / "driving.mp4"
    shutil.copy(clip, path)
    assert "overwrite" in refused("animate", avatar, "--driving", path, "-o", path)


def rewritten(path, folder, change):
    """A copy of a safetensors file, its header and tensors changed."""
    with safe_open(path, "pt") as file:
        header = dict(file.metadata())
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(header, tensors)
    save_file(tensors, folder / path.name, header)
    return folder / path.name


def a_newer_version(header, tensors):
    header["schema"] = "99"


def a_missing_tensor(header, tensors):
    del tensors["anchors.means"]


def a_tensor_not_finite(header, tensors):
    tensors["source_latent"][0] = torch.nan


def a_size_that_lies(header, tensors):
    header["gaussians"] = str(2 * int(header["gaussians"]))


def another_preset(header, tensors):
    header["preset"] = "base"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (a_newer_version, "newer version"),
        (a_missing_tensor, "lacks anchors.means"),
        (a_tensor_not_finite, "not finite"),
        (a_size_that_lies, "does not hold the"),
        (another_preset, "preset 'base'"),
    ],
)
def test_an_avatar_that_is_not_sound(change, said, refused, avatar, weights, tmp_path):
    bad = rewritten(avatar, tmp_path, change)
    folder = tmp_path / "results"
    folder.mkdir()
    assert said in refused("export", bad, "-o", folder / "me.ply", "--weights", weights)


def other_weights(header, tensors):
    header["weights"] = "0" * 32


def test_an_avatar_of_other_weights(refused, avatar, take, weights, tmp_path):
    bad = rewritten(avatar, tmp_path, other_weights)
    folder = tmp_path / "results"
    folder.mkdir()
    command = ("animate", bad, "--driving", take, "-o", folder / "out.mp4", "--weights", weights)
    assert "other weights; encode the photo again, or pass" in refused(*command)


@pytest.mark.parametrize(
    ("change", "said"),
    [(another_preset, "preset 'base'"), (other_weights, "other weights, and keeps nothing")],
)
def test_latents_that_these_weights_did_not_make(change, said, drive, take, tmp_path):
    def without_landmarks(header, tensors):
        del tensors["landmarks.codes"]
        change(header, tensors)

    assert said in drive(rewritten(take, tmp_path, without_landmarks))


JOBS = {
    "me.mien": lambda photo, avatar, clip: ("encode", photo),
    "take.motion": lambda photo, avatar, clip: ("motion", clip),
    "out.mp4": lambda photo, avatar, clip: ("animate", avatar, "--size", 64, "--driving", clip),
    "me.ply": lambda photo, avatar, clip: ("export", avatar),
}


@pytest.mark.parametrize("name", JOBS)
def test_an_output_folder_that_is_missing(name, refused, photo, avatar, clip, tmp_path):
    output = tmp_path / "none" / name
    assert "does not exist; make it" in refused(*JOBS[name](photo, avatar, clip), "-o", output)


@pytest.mark.parametrize("name", JOBS)
def test_an_output_folder_that_may_not_be_written(name, refused, photo, avatar, clip, tmp_path):
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o555)
    if os.access(folder, os.W_OK):
        # The administrator may write anywhere but where the kernel says no.
        folder = type(tmp_path)("/sys/kernel")
        if not folder.is_dir():
            pytest.skip("no folder refuses to be written to")
    said = refused(*JOBS[name](photo, avatar, clip), "-o", folder / name)
    assert "cannot be written" in said


@contextlib.contextmanager
def room_for(count):
    """Let no file grow beyond `count` bytes: the system refuses as it does when a disk is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("name", JOBS)
def test_no_room_for_the_output(name, refused, photo, avatar, clip, weights, tmp_path):
    command = (*JOBS[name](photo, avatar, clip), "--weights", weights)
    with room_for(400):
        assert "written" in refused(*command, "-o", tmp_path / name)


def test_a_full_disk(refused, avatar, clip, weights, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount")
    try:
        command = JOBS["out.mp4"](None, avatar, clip)
        said = refused(*command, "--weights", weights, "-o", disk / "out.mp4")
        assert "no space left" in said or "disk is full" in said
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_weights_that_do_not_come_along(refused, photo, tmp_path, monkeypatch):
    monkeypatch.setattr("mien.presets.shipped_weights", lambda: tmp_path / "none.safetensors")
    output = tmp_path / "me.mien"
    assert "The weights cannot be loaded" in refused("encode", photo, "-o", output)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for other processes")
def test_ctrl_c_half_way(avatar, photo, weights, tmp_path):
    output = tmp_path / "out.mp4"
    # Six seconds of video: longer than the signal takes.
    command = ["animate", avatar, "--driving", photo, "-o", output, "--weights", weights]
    process = subprocess.Popen(
        [sys.executable, "-m", "mien", *map(str, command), "--size", "1024"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Whoever runs the tests in the background has interrupts ignored, and children inherit it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    patience = time.monotonic() + 60
    while not list(tmp_path.iterdir()) and process.poll() is None:
        assert time.monotonic() < patience
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    try:
        out, err = process.communicate(timeout=4)
    except subprocess.TimeoutExpired:
        # Python loses an interrupt that arrives in a destructor; a person presses again.
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, (out, err)
    assert out == ""
    assert err == "mien: stopped; nothing half-written was left.\n"
    assert list(tmp_path.iterdir()) == []
