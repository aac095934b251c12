"""What a file says of itself: whether it is synthetic, and what was agreed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mien.files import check_readable


def marks(path: Path) -> Iterator[str]:
    """One line after the other about an avatar, a take, a picture or a video.

    Raises:
        MienError: the file is missing, or of no such kind.
    """
    from mien.commands.driving import is_picture

    check_readable(path)
    if path.suffix == ".mien":
        yield from _avatar(path)
    elif path.suffix == ".motion":
        yield from _take(path)
    else:
        yield from _pictures(path, still=is_picture(path))


def _avatar(path: Path) -> Iterator[str]:
    from mien.artifact import load_avatar

    avatar = load_avatar(path)
    yield f"{path}: avatar of {len(avatar.features)} Gaussians, preset {avatar.preset}"
    for name, value in sorted(avatar.provenance.items()):
        yield f"  {name}: {value if value.isprintable() else ascii(value)}"


def _take(path: Path) -> Iterator[str]:
    from mien.artifact import load_motion

    take = load_motion(path)
    yield f"{path}: take of {len(take)} frames, {take.fps:g} a second, preset {take.preset}"
    kept = "any weights can play it" if take.landmarks is not None else "for its own weights alone"
    yield f"  landmarks: {'kept' if take.landmarks is not None else 'none'}, {kept}"


def _pictures(path: Path, *, still: bool) -> Iterator[str]:
    from mien.preprocess.photo import read_photo
    from mien.preprocess.video import SYNTHETIC, Video
    from mien.watermark import CERTAIN, score

    comment = _picture_comment(path) if still else _video_comment(path)
    found = score([read_photo(path).image] if still else (frame for _, frame in Video(path)))
    yield f"{path}: {'picture' if still else 'video'}"
    said = "says that it is synthetic" if comment == SYNTHETIC else "does not say what made it"
    yield f"  metadata: {said}"
    if found > CERTAIN:
        yield f"  watermark: Mien's (score {found:.1f}; {CERTAIN:g} is certain)"
    else:
        yield (
            f"  watermark: none found (score {found:.1f} of {CERTAIN:g}); Mien did not make it, or "
            "it was cropped, turned or changed a lot since"
        )


def _picture_comment(path: Path) -> str:
    from PIL import Image

    with Image.open(path) as picture:
        comment = picture.info.get("Comment") or picture.info.get("comment") or ""
    return comment.decode(errors="replace") if isinstance(comment, bytes) else str(comment)


def _video_comment(path: Path) -> str:
    from mien.preprocess.video import open_media

    with open_media(path) as container:
        fields = {name.lower(): value for name, value in container.metadata.items()}
    return fields.get("comment", "")
