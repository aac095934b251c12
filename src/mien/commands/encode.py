"""`mien encode`: photos to avatar files."""

# No `from __future__ import annotations`: tyro reads the annotations.

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from mien.commands.common import Detail, Device, check_output, chosen_device, progress_bar
from mien.errors import MienError

if TYPE_CHECKING:
    from mien.model.network import Network

PHOTOS = frozenset((".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"))
"""What is taken from a folder."""

LONGEST_CONSENT = 1000


@dataclass(frozen=True)
class Command:
    """Turn photos into avatar files (.mien), a few megabytes each.

    Args:
        photos: one photo; or several, or folders of photos, for one avatar each.
        output: the file to write; of several photos or a folder, the folder to write to.
        consent: what the person in the photo agreed to, in a line; the avatar file keeps it.
        detail: how many Gaussians a photo becomes.
        face: which face, if there are several: 0 is the leftmost; without, the largest.
        device: where to compute.
        weights: weights file; without, the ones that come with Mien.
    """

    photos: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="PHOTO")]
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    consent: str | None = None
    detail: Detail = "balanced"
    face: int | None = None
    device: Device = "auto"
    weights: Path | None = None


def run(command: Command) -> None:
    """Encode; of several photos, those that cannot be used are named, and the others encoded.

    Raises:
        MienError: some photo could not be encoded, or nothing could.
    """
    consent = command.consent or ""
    if not consent.isprintable() or len(consent) > LONGEST_CONSENT:
        raise MienError(f"--consent must be one line of at most {LONGEST_CONSENT} characters.")
    photos = list(command.photos)
    if not photos:
        raise MienError("No photo is given; name one, or a folder of them.")
    several = len(photos) > 1 or photos[0].is_dir()
    jobs = _jobs(command) if several else {photos[0]: command.output}
    if not several:
        check_output(command.output, (".mien",), photos[0])

    from mien import presets

    network = presets.load_network(command.weights, chosen_device(command.device))
    failed = 0
    with progress_bar() as bar:
        for photo, output in bar.track(list(jobs.items()), description="encoding"):
            try:
                _encode(command, network, photo, output)
            except MienError as error:
                if not several:
                    raise
                failed += 1
                print(f"mien: {error}", file=sys.stderr)
    if failed:
        raise MienError(f"{failed} of {len(jobs)} photos gave no avatar, for the reasons above.")


def _encode(command: Command, network: "Network", photo: Path, output: Path) -> None:
    from mien import api

    provenance = {"consent": command.consent} if command.consent else {}
    head = api.encode(
        photo, network=network, detail=command.detail, face=command.face, provenance=provenance
    )
    head.save(output)
    print(f"{output}: {len(head)} Gaussians")


def _jobs(command: Command) -> dict[Path, Path]:
    """Photo → avatar file of every photo named, or in a folder that is named.

    Raises:
        MienError: a folder without photos, two photos that would become the same file, or an
            output folder that cannot be had.
    """
    photos: list[Path] = []
    for path in command.photos:
        inside = sorted(p for p in path.iterdir() if _is_photo(p)) if path.is_dir() else [path]
        if not inside:
            raise MienError(f"There is no photo in the folder {path}; give another one.")
        photos += inside
    outputs: dict[Path, Path] = {}
    for photo in photos:
        output = command.output / f"{photo.stem}.mien"
        if output in outputs:
            raise MienError(
                f"{outputs[output]} and {photo} would both become {output}; rename one of them."
            )
        outputs[output] = photo
    try:
        command.output.mkdir(exist_ok=True)
    except OSError as error:
        raise MienError(
            f"The folder {command.output} cannot be made ({error.strerror}); several photos need "
            "a folder to be encoded to."
        ) from error
    return {photo: output for output, photo in outputs.items()}


def _is_photo(path: Path) -> bool:
    return path.suffix.lower() in PHOTOS and not path.name.startswith(".")
