"""`mien animate`: the main job."""

# No `from __future__ import annotations`: tyro reads the annotations.

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from mien.commands.common import (
    Detail,
    Device,
    check_output,
    check_size,
    chosen_device,
    progress_bar,
)
from mien.errors import MienError

if TYPE_CHECKING:
    from torch import Tensor

    from mien.artifact import Baked
    from mien.model.network import Network
    from mien.pipeline import Direction
    from mien.structures import Avatar, Motion

VIDEOS = (".mp4", ".mov", ".mkv", ".webm")
PICTURES = (".png", ".jpg", ".jpeg")
SEE_THROUGH = (".webm", ".mov", ".png")


@dataclass(frozen=True)
class Command:
    """Make a photo, or an avatar, move like someone else.

    The video has the driver's frames, frame rate and sound.

    Args:
        source: the photo, or an avatar file (.mien) made by `mien encode` or `mien bake`.
        driving: whom to follow: a video, a take (.motion, or .csv of ARKit's coefficients), or a
            picture, whose expression is held for six seconds.
        output: the video to write (.mp4, .mov, .mkv, .webm); of a picture as driver also .png or
            .jpg.
        pose: the head turns like the driver's, looks straight ahead, or is seen from a camera
            that swings around it.
        retarget: `absolute` makes the driver's expression; `relative` adds the driver's changes to
            the photo's own expression.
        strength: of the change from the driver's median face: 1 is as the driver; less is calmer,
            more exaggerates. 1.3 makes up for what avatars hold back.
        smooth: 0 is as the driver; up to 1 takes out jitter, and more and more of quick movements.
        background: a colour's name, #rrggbb, `original`: what the photo shows behind the head, or
            `transparent`: nothing, which .webm, .mov and .png can say.
        size: pixels of a side.
        detail: how many Gaussians a photo becomes; an avatar file keeps those it has.
        face: which face of the photo, if there are several: 0 is the leftmost; without, the
            largest.
        device: where to compute.
        weights: weights file; without, the ones that come with Mien.
    """

    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="PHOTO|AVATAR")]
    driving: Path
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    pose: Literal["follow", "fixed", "orbit"] = "follow"
    retarget: Literal["absolute", "relative"] = "absolute"
    strength: float = 1.0
    smooth: float = 0.0
    background: str = "#2a2c30"
    size: int = 512
    detail: Detail = "balanced"
    face: int | None = None
    device: Device = "auto"
    weights: Path | None = None


def run(command: Command) -> None:
    """Animate as asked, and say what was written."""
    _check(command)
    from mien import presets
    from mien.commands.driving import is_picture, read_driver, smoothed
    from mien.pipeline import Direction
    from mien.preprocess.video import write_video

    still = command.output.suffix.lower() in PICTURES
    if still and not is_picture(command.driving):
        raise MienError(
            f"{command.output} is a picture, but {command.driving} moves; give the output a name "
            f"that ends in {' or '.join(VIDEOS)}, or drive with a picture."
        )
    network = presets.load_network(command.weights, chosen_device(command.device))
    avatar, background = _source(command, network)
    take = smoothed(read_driver(command.driving, network), command.smooth)
    direction = Direction(command.pose, command.retarget, command.strength)
    if still:
        take = take[:1]
    see_through = command.background == "transparent"
    frames = performed(
        network, avatar, take, direction, command.size, background, see_through=see_through
    )
    if still:
        write_picture(command.output, next(frames))
    else:
        with progress_bar() as bar:
            arrays = (frame.numpy() for frame in frames)
            watched = bar.track(arrays, total=len(take), description="animating")
            write_video(
                command.output, watched, fps=take.fps, times=take.times.tolist(), audio=take.audio
            )
    length = "1 picture" if still else f"{len(take)} frames, {take.fps:g} a second"
    sound = f", sound of {take.audio}" if take.audio and not still else ""
    print(f"{command.output}: {length}, {command.size}×{command.size}{sound}")


def _check(command: Command) -> None:
    """Refuse what cannot be done, before anything heavy is loaded."""
    from mien.files import check_readable

    check_readable(command.source)
    check_readable(command.driving)
    check_output(command.output, VIDEOS + PICTURES, command.source, command.driving)
    check_size(command.size)
    suffix = command.output.suffix.lower()
    if command.background == "transparent" and suffix not in SEE_THROUGH:
        raise MienError(
            f"A {suffix} file cannot keep transparency; give a name that ends in "
            f"{' or '.join(SEE_THROUGH)}."
        )
    if not 0 <= command.smooth <= 1:
        raise MienError(f"--smooth {command.smooth:g} is out of range; give a number from 0 to 1.")
    if not 0 <= command.strength <= 10:
        raise MienError(
            f"--strength {command.strength:g} is out of range; give a number from 0 to 10."
        )


def performed(
    network: "Network",
    avatar: "Avatar | Baked",
    take: "Motion",
    direction: "Direction",
    size: int,
    background: "Tensor | None",
    *,
    see_through: bool = False,
) -> "Iterator[Tensor]":
    """`pipeline.play`, baked avatars too, by whatever plays this one fastest here."""
    from mien.artifact import Baked
    from mien.engine import play_cpu
    from mien.pipeline import device_of, play

    shown = (take, direction, size, background)
    if not isinstance(avatar, Baked) and device_of(network).type != "cpu":
        return play(network, avatar, *shown, see_through=see_through)
    antialiased = network.config.antialiased
    actor = play_cpu.actor(network, avatar)
    return play_cpu.play(actor, *shown, see_through=see_through, antialiased=antialiased)


def _source(command: Command, network: "Network") -> "tuple[Avatar | Baked, Tensor | None]":
    """The avatar, and what is behind it: (3, S, S) or (3, 1, 1), or None if one sees through."""
    from mien import api
    from mien.commands.background import behind, colour
    from mien.preprocess.photo import portrait, read_photo

    original = command.background == "original"
    special = original or command.background == "transparent"
    plain = None if special else colour(command.background)
    if command.source.suffix == ".mien":
        if original:
            raise MienError(
                f"{command.source} does not keep the photo's background; give the photo itself, "
                "or a colour."
            )
        return api.load(command.source, network=network).avatar, plain
    seen = portrait(command.source, fov=network.config.fov, face=command.face)
    head = api.encode(seen, network=network, detail=command.detail)
    if original:
        plain = behind(read_photo(command.source).image, seen, command.size)
    return head.avatar, plain


def write_picture(path: Path, frame: "Tensor") -> None:
    """Write (H, W, 3) uint8 as PNG or JPEG, marked as synthetic, whole or not at all; PNG may have
    a fourth channel, alpha."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    from mien.files import atomic_output
    from mien.preprocess.video import SYNTHETIC

    picture = Image.fromarray(frame.numpy())
    text = PngInfo()
    text.add_text("Comment", SYNTHETIC)
    with atomic_output(path) as draft:
        # Each format takes its own and ignores the other's.
        picture.save(draft, pnginfo=text, comment=SYNTHETIC, quality=95)
