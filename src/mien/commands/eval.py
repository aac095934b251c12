"""`mien eval`: how good avatars of held-out people are, or what changed between two results."""

# No `from __future__ import annotations`: tyro reads the annotations.

from dataclasses import dataclass
from pathlib import Path

from mien import presets
from mien.commands.common import Detail, Device, chosen_device
from mien.errors import MienError
from mien.evaluate.compare import compare, comparison_table
from mien.evaluate.results import Results


@dataclass(frozen=True)
class Command:
    """Measure on held-out people; write a report as a web page and as JSON.

    Args:
        data: folder of the research data.
        output: folder that gets `index.html` and `results.json`.
        weights: weights file; without, the shipped ones.
        device: where the networks run.
        detail: how many Gaussians an avatar has.
        size: pixels of the frames' sides.
        frames: at most so many of each clip.
        limit: at most so many cases per protocol; without, all.
        shareable: show only what is made of public-domain portraits, and no driving frames.
        compare: two earlier `results.json`; says what changed from the first to the second and
            whether it is beyond noise, and measures nothing.
    """

    data: Path | None = None
    output: Path = Path("report")
    weights: Path | None = None
    device: Device = "auto"
    detail: Detail = "balanced"
    size: int = 512
    frames: int = 100
    limit: int | None = None
    shareable: bool = False
    compare: tuple[Path, Path] | None = None


def run(command: Command) -> None:
    """Measure, or compare."""
    if command.compare:
        before, after = (Results.load(path) for path in command.compare)
        print(comparison_table(compare(before, after)))
        return
    if command.data is None:
        raise MienError("Say where the research data lies: `mien eval --data FOLDER`.")
    from mien.evaluate.run import Evaluation, evaluate
    from mien.evaluate.subject import mien_reenactor

    weights = command.weights or presets.shipped_weights()
    network = presets.load_network(weights, chosen_device(command.device))
    reenactor = mien_reenactor(network, presets.DETAIL[command.detail])
    task = Evaluation(
        command.data,
        command.output,
        command.size,
        command.frames,
        command.limit,
        command.shareable,
    )
    evaluate(reenactor, task, weights)
    print(command.output / "index.html")
