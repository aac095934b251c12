"""Every command on a real photo, through `main`: what a person does first."""

from dataclasses import replace

import av
import numpy as np
import pytest
import torch
from PIL import Image

from mien.artifact import load_avatar, load_motion, save_motion, write_weights
from mien.commands import bake as bake_command
from mien.engine import bake
from mien.model.matching import motion_weights
from mien.model.network import Network
from mien.preprocess.video import SYNTHETIC, Video, write_video
from mien.presets import DETAIL, load_network, tiny
from mien.structures import Camera, Motion

FPS = 25.0
SMALL = ("--size", 64, "--device", "cpu")


def sound_seconds(path):
    with av.open(path) as container:
        stream = container.streams.audio[0]
        return sum(frame.samples for frame in container.decode(stream)) / stream.rate


def times_of(path):
    return np.array([time for time, _ in Video(path)])


def frames_of(path):
    return np.stack([frame for _, frame in Video(path)]).astype(np.int16)


def test_a_photo_follows_a_video(mien, photo, clip, weights, tmp_path):
    output = tmp_path / "out.mp4"
    done = mien("animate", photo, "--driving", clip, "-o", output, "--weights", weights, *SMALL)
    assert done.code == 0
    assert done.err == ""
    assert done.out.count("\n") == 1
    video, driver = Video(output), Video(clip)
    assert (video.frames, video.fps) == (driver.frames, driver.fps)
    assert (video.width, video.height) == (64, 64)
    # AAC comes in blocks of 1024 samples.
    assert sound_seconds(output) == pytest.approx(sound_seconds(clip), abs=2 * 1024 / 48000)
    with av.open(output) as container:
        assert container.metadata["comment"] == SYNTHETIC
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_an_avatar_follows_a_take(mien, avatar, take, weights, tmp_path):
    follow, fixed = tmp_path / "follow.mp4", tmp_path / "fixed.mov"
    for output, pose in ((follow, "follow"), (fixed, "fixed")):
        command = ("animate", avatar, "--driving", take, "-o", output, "--pose", pose)
        assert mien(*command, "--weights", weights, *SMALL).code == 0
    # The head sways with the driver's, or it does not.
    assert frames_of(follow).std(0).max() > 20
    assert frames_of(fixed).std(0).max() < 8


def test_a_take_outlives_its_weights(mien, photo, take, tmp_path):
    """Made anew from its landmarks, it plays as the video would."""
    weights, output = tmp_path / "retrained.safetensors", tmp_path / "out.mp4"
    torch.manual_seed(7)
    write_weights(weights, Network(tiny()).state_dict(), preset="tiny", licence="CC0")
    command = ("animate", photo, "--driving", take, "-o", output, "--detail", "fast")
    assert mien(*command, "--weights", weights, *SMALL).code == 0
    assert Video(output).frames == 8


def test_a_variable_frame_rate_is_kept(mien, film, avatar, weights, tmp_path):
    driving, output = tmp_path / "vfr.mp4", tmp_path / "out.mp4"
    times = np.array([0, 0.04, 0.08, 0.2, 0.24, 0.4, 0.41, 0.6])
    write_video(driving, film, fps=FPS, times=times.tolist())
    command = ("animate", avatar, "--driving", driving, "-o", output, "--weights", weights)
    assert mien(*command, *SMALL).code == 0
    np.testing.assert_allclose(times_of(output), times, atol=1e-3)


def test_a_picture_drives_a_picture(mien, avatar, photo, weights, tmp_path):
    for name in ("out.png", "out.jpg"):
        output = tmp_path / name
        command = ("animate", avatar, "--driving", photo, "-o", output, "--weights", weights)
        assert mien(*command, *SMALL).code == 0
        with Image.open(output) as picture:
            assert picture.size == (64, 64)
            said = picture.info.get("Comment", picture.info.get("comment"))
            assert said in (SYNTHETIC, SYNTHETIC.encode())


def test_a_picture_drives_a_video_for_a_swing(mien, avatar, photo, weights, tmp_path):
    output = tmp_path / "out.mp4"
    command = ("animate", avatar, "--driving", photo, "-o", output, "--pose", "orbit")
    assert mien(*command, "--weights", weights, "--size", 32).code == 0
    assert Video(output).frames == 150


@pytest.fixture
def far_away(weights, tmp_path):
    """A take of one frame that shows the head small, so that there is room around it."""
    path = tmp_path / "far.motion"
    network = load_network(weights)
    latents = torch.zeros(1, network.config.latent)
    poses = Camera.orbit(radius=12.0).cam_from_world[None]
    take = Motion(latents, poses, torch.zeros(1).double(), FPS, "tiny")
    save_motion(path, replace(take, weights=motion_weights(network)))
    return path


@pytest.mark.parametrize(
    ("name", "expected"), [("white", (255, 255, 255)), ("#336699", (0x33, 0x66, 0x99))]
)
def test_a_background_has_its_colour(name, expected, mien, avatar, far_away, weights, tmp_path):
    output = tmp_path / "out.mp4"
    command = ("animate", avatar, "--driving", far_away, "-o", output, "--background", name)
    assert mien(*command, "--weights", weights, *SMALL).code == 0
    np.testing.assert_allclose(frames_of(output)[0, 2, 2], expected, atol=3)


def decoded_with_alpha(path):
    """(H, W, 4) of the first frame; ffmpeg's own VP9 decoder leaves alpha out."""
    with av.open(path) as container:
        stream = container.streams.video[0]
        if path.suffix == ".webm":
            decoder = av.CodecContext.create("libvpx-vp9", "r")
            frames = (f for packet in container.demux(stream) for f in decoder.decode(packet))
        else:
            frames = container.decode(stream)
        return next(frames).to_ndarray(format="rgba")


@pytest.mark.parametrize("suffix", [".webm", ".mov"])
def test_nothing_is_behind_a_head(suffix, mien, avatar, clip, take, weights, tmp_path):
    plain, output = tmp_path / "plain.mp4", tmp_path / f"out{suffix}"
    command = ("animate", avatar, "--driving", clip, "--weights", weights, *SMALL)
    assert mien(*command, "-o", plain, "--background", "white").code == 0
    assert mien(*command, "-o", output, "--background", "transparent").code == 0
    frame, whole = decoded_with_alpha(output).astype(float), frames_of(plain)[0]
    assert frame[..., 3].min() < 0.9 * frame[..., 3].max()
    share = frame[..., 3:] / 255
    laid = frame[..., :3] * share + 255 * (1 - share)
    # Both files are lossy, and colours of half the picture's size.
    assert np.abs(laid - whole).mean() < 6
    assert np.abs(frame[..., :3] - whole).mean() > 12
    assert sound_seconds(output) == pytest.approx(sound_seconds(clip), abs=0.05)
    with av.open(output) as container:
        marks = {key.lower(): value for key, value in container.metadata.items()}
    assert marks["comment"] == SYNTHETIC


def test_nothing_is_behind_a_head_in_a_picture(mien, avatar, photo, weights, tmp_path):
    output = tmp_path / "out.png"
    command = ("animate", avatar, "--driving", photo, "-o", output, "--background", "transparent")
    assert mien(*command, "--weights", weights, *SMALL).code == 0
    with Image.open(output) as picture:
        assert picture.mode == "RGBA"
        low, high = picture.getchannel("A").getextrema()
    assert low < 0.9 * high


def test_the_original_background_is_the_photos(mien, photo, far_away, weights, tmp_path):
    output = tmp_path / "out.mp4"
    command = ("animate", photo, "--driving", far_away, "-o", output, "--background", "original")
    assert mien(*command, "--weights", weights, *SMALL).code == 0
    # A light grey wall is behind the astronaut, and goes on behind where her hair was.
    frame = frames_of(output)[0]
    assert frame[2, 2].min() > 150
    assert frame[12, 32].min() > 150


def test_options_change_the_take(mien, avatar, take, weights, tmp_path):
    output = tmp_path / "out.mp4"
    command = ("animate", avatar, "--driving", take, "-o", output, "--weights", weights)
    options = ("--retarget", "relative", "--strength", 1.5, "--smooth", 1, "--pose", "orbit")
    assert mien(*command, *options, *SMALL).code == 0


def test_encode_keeps_what_was_agreed(mien, photo, weights, tmp_path):
    output = tmp_path / "me.mien"
    command = ("encode", photo, "-o", output, "--consent", "agreed in writing, 2024")
    assert mien(*command, "--weights", weights, "--detail", "fast").code == 0
    stored = load_avatar(output)
    assert stored.provenance["consent"] == "agreed in writing, 2024"
    assert stored.provenance["synthetic"] == "true"
    assert 0 < len(stored.features) <= DETAIL["fast"] ** 2 * 5 // 4


def photo_of_every_kind(image, folder):
    folder.mkdir()
    image.convert("L").save(folder / "grey.png")
    deep = np.asarray(image.convert("L")).astype(np.uint16) * 257
    Image.fromarray(deep).save(folder / "sixteen_bits.png")
    image.convert("CMYK").save(folder / "cmyk.jpg")
    image.convert("RGBA").save(folder / "rgba.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn to the right
    image.transpose(Image.Transpose.ROTATE_90).save(folder / "turned.jpg", exif=exif)
    image.resize((4500, 4500)).save(folder / "twenty_megapixels.jpg")


def test_a_folder_of_photos_of_every_kind(mien, photo, weights, tmp_path):
    photos, output = tmp_path / "photos", tmp_path / "avatars"
    with Image.open(photo) as image:
        photo_of_every_kind(image, photos)
    (photos / "notes.txt").write_text("no photo")
    command = ("encode", photos, "-o", output, "--weights", weights, "--detail", "fast")
    assert mien(*command).code == 0
    avatars = {path.stem: load_avatar(path) for path in output.iterdir()}
    assert sorted(avatars) == sorted(path.stem for path in photos.glob("*.[jp]*"))
    sizes = np.array([len(stored.features) for stored in avatars.values()])
    # The same person in each: the same share of the picture is hers.
    assert sizes.max() < 1.05 * sizes.min()


def test_one_bad_photo_spoils_no_other(mien, photo, weights, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no photo")
    output = tmp_path / "avatars"
    done = mien("encode", bad, photo, "-o", output, "--weights", weights, "--detail", "fast")
    assert done.code == 2
    assert [line.split(" ")[1] for line in done.err.splitlines()] == [str(bad), "1"]
    assert [path.name for path in output.iterdir()] == ["astronaut.mien"]


def test_motion_keeps_the_drivers_times_and_sound(clip, take):
    stored = load_motion(take)
    np.testing.assert_allclose(stored.times, times_of(clip), atol=1e-6)
    assert stored.audio == str(take.with_name(clip.name))


def test_coefficients_go_out_and_come_back(mien, avatar, take, clip, weights, tmp_path):
    table, again = tmp_path / "take.csv", tmp_path / "again.motion"
    for source, output in ((take, table), (table, again)):
        done = mien("motion", source, "-o", output, "--weights", weights)
        assert done.code == 0
        assert "8 frames" in done.out
    first, second = load_motion(take), load_motion(again)
    torch.testing.assert_close(first.cam_from_head, second.cam_from_head, atol=1e-3, rtol=0)
    command = ("animate", avatar, "--driving", table, "-o", tmp_path / "out.mp4")
    assert mien(*command, "--weights", weights, *SMALL).code == 0
    assert Video(tmp_path / "out.mp4").frames == 8


@pytest.mark.parametrize("suffix", [".ply", ".spz"])
def test_export_for_splat_viewers(suffix, mien, avatar, weights, tmp_path):
    output = tmp_path / f"me{suffix}"
    assert mien("export", avatar, "-o", output, "--weights", weights).code == 0
    assert output.stat().st_size > 10_000


def test_export_a_turntable(mien, avatar, weights, tmp_path):
    output = tmp_path / "turntable.mp4"
    command = ("export", avatar, "-o", output, "--weights", weights, "--size", 32)
    assert mien(*command).code == 0
    assert Video(output).frames == 150


@pytest.fixture
def baked(mien, avatar, weights, tmp_path, monkeypatch):
    """The astronaut's avatar, baked in a hurry."""
    for name, value in {"SAMPLES": 24, "LESSONS": 100, "WITNESSES": 32, "EPOCHS": 2}.items():
        monkeypatch.setattr(bake, name, value)
    monkeypatch.setattr(bake_command, "CHECKED", 2)
    path = tmp_path / "baked.mien"
    command = ("bake", avatar, "-o", path, "--bases", 4, "--weights", weights)
    assert mien(*command).code == 0
    return path


def test_a_baked_avatar_follows_a_take(mien, baked, take, weights, tmp_path):
    output = tmp_path / "out.mp4"
    command = ("animate", baked, "--driving", take, "-o", output, "--weights", weights)
    assert mien(*command, *SMALL).code == 0
    assert Video(output).frames == 8
    assert frames_of(output).std(0).max() > 20


@pytest.mark.parametrize("suffix", [".ply", ".spz", ".html"])
def test_a_baked_avatar_is_exported(suffix, mien, baked, weights, tmp_path):
    output = tmp_path / f"me{suffix}"
    assert mien("export", baked, "-o", output, "--weights", weights).code == 0
    assert output.stat().st_size > 10_000


def test_a_baked_avatar_turns(mien, baked, weights, tmp_path):
    output = tmp_path / "turntable.mp4"
    command = ("export", baked, "-o", output, "--weights", weights, "--size", 32)
    assert mien(*command).code == 0
    assert Video(output).frames == 150
    assert frames_of(output).std(0).max() > 20


def test_a_baked_avatar_does_not_know_its_background(refused, baked, take, weights, tmp_path):
    folder = tmp_path / "made"
    folder.mkdir()
    command = ("animate", baked, "--driving", take, "-o", folder / "out.mp4", "--weights", weights)
    assert "does not keep the photo's background" in refused(*command, "--background", "original")


def test_doctor_knows_what_mien_made(mien, avatar, clip, take, weights, tmp_path):
    output = tmp_path / "out.mp4"
    command = ("animate", avatar, "--driving", take, "-o", output, "--weights", weights)
    assert mien(*command, "--size", 256).code == 0
    assert "watermark: Mien's" in mien("doctor", output).out
    assert "watermark: none found" in mien("doctor", clip).out
    assert "consent: not stated" in mien("doctor", avatar).out
    assert "any weights can play it" in mien("doctor", take).out


def test_doctor_is_content_with_weights(mien, weights):
    done = mien("doctor", "--weights", weights)
    assert done.code == 0
    assert "preset tiny" in done.out
    assert done.out.splitlines()[-1].startswith("Ready")


def test_doctor_says_what_is_missing(mien, tmp_path):
    done = mien("doctor", "--weights", tmp_path / "none.safetensors")
    assert done.code == 1
    assert "none.safetensors does not exist" in done.out
