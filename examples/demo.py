"""The main job on a portrait and a driving take that may be shown to anyone: `make demo`.

The portrait is NASA's photo of the astronaut Eileen Collins (public domain); the take is scripted
(see `scripted.py`). Writes, in the folder given, `scripted.motion`, `out.mp4` and `sheet.png`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from scripted import take

from mien import cli
from mien.artifact import save_motion
from mien.errors import MienError
from mien.files import atomic_output
from mien.preprocess.video import SYNTHETIC, Video
from mien.presets import load_network

PHOTO = Path(__file__).with_name("astronaut.jpg")

COLUMNS, ROWS, SIDE = 6, 3, 256
"""Of the contact sheet; sides in pixels."""


def main() -> int:
    """Make the take, animate the photo with it, lay out the sheet; returns the exit code."""
    parser = argparse.ArgumentParser(description="Animate a portrait with a scripted take.")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the results")
    parser.add_argument("--weights", type=Path, help="weights file; without, the shipped ones")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    driving, video = options.out / "scripted.motion", options.out / "out.mp4"
    try:
        save_motion(driving, take(load_network(options.weights)))
    except MienError as error:
        print(error, file=sys.stderr)
        return 2
    weights = ["--weights", str(options.weights)] if options.weights else []
    command = ["animate", str(PHOTO), "--driving", str(driving), "-o", str(video), *weights]
    print("mien", *command)
    code = cli.main(command)
    if code == 0:
        write_sheet(video, options.out / "sheet.png")
        print(options.out / "sheet.png")
    return code


def write_sheet(video: Path, path: Path) -> None:
    """The photo, and frames spread evenly over the video, as one picture."""
    frames = [frame for _, frame in Video(video)]
    picks = np.linspace(0, len(frames) - 1, COLUMNS * ROWS - 1).round().astype(int)
    with Image.open(PHOTO) as photo:
        pictures = [photo.convert("RGB"), *(Image.fromarray(frames[i]) for i in picks)]
    sheet = Image.new("RGB", (COLUMNS * SIDE, ROWS * SIDE))
    for index, picture in enumerate(pictures):
        row, column = divmod(index, COLUMNS)
        sheet.paste(
            picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS), (column * SIDE, row * SIDE)
        )
    mark = PngInfo()
    mark.add_text("Comment", SYNTHETIC)
    with atomic_output(path) as draft:
        sheet.save(draft, pnginfo=mark)


if __name__ == "__main__":
    sys.exit(main())
