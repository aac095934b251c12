"""Which held-out people are measured: the same ones each time, in the same pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from mien.data.splits import Item, survey
from mien.synth.seeds import HELD_OUT

PHOTOS = ("portraits/sources", "portraits/studio", "portraits/congress")
"""Sets whose held-out people are animated by others."""

SHAREABLE = ("portraits/congress",)
"""Sets in the public domain: what is made of them may be shown."""

CONGRESS = 12
"""How many people of that set are taken; the others have fewer."""

SYNTHETIC, LIVE = 8, 2
"""How many cases these protocols have at most."""

T = TypeVar("T")


@dataclass(frozen=True)
class Cases:
    """What each protocol runs on.

    Args:
        selves: clips, one per person.
        crosses: photo and driving clip, of two people.
        views: photos.
        synthetic: people of `mien.synth`.
        live: photo and driving clip.
    """

    selves: tuple[Item, ...]
    crosses: tuple[tuple[Item, Item], ...]
    views: tuple[Item, ...]
    synthetic: tuple[int, ...]
    live: tuple[tuple[Item, Item], ...]


def choose_cases(folder: Path, limit: int | None = None) -> Cases:
    """Pick the cases from the research data.

    Args:
        folder: the data's.
        limit: at most so many per protocol, evenly spread.

    Raises:
        MienError: the data is not there or not whole.
    """
    held = [item for item in survey(folder) if item.held_out]
    held.sort(key=lambda item: item.role != "clips")  # the best recordings stand for their people
    clips = _one_each([item for item in held if item.path.suffix == ".mp4"])
    drivers = [item for item in clips if item.role == "clips"]
    photos: list[Item] = []
    for role in PHOTOS:
        people = _one_each([item for item in held if item.role == role])
        photos += people[:CONGRESS] if role == "portraits/congress" else people
    crosses = []
    for index, photo in enumerate(photos):
        others = [driver for driver in drivers if driver.person != photo.person]
        crosses.append((photo, others[index % len(others)]))
    crosses.sort(key=lambda pair: pair[1].path)  # so that each driver is read once
    return Cases(
        tuple(spread(clips, limit)),
        tuple(spread(crosses, limit)),
        tuple(spread(photos, limit)),
        tuple(HELD_OUT[: min(SYNTHETIC, limit or SYNTHETIC)]),
        tuple(spread(crosses, min(LIVE, limit or LIVE))),
    )


def spread(items: Sequence[T], limit: int | None) -> list[T]:
    """At most `limit` of the items, evenly spread, in order."""
    if limit is None or limit >= len(items):
        return list(items)
    return [items[(2 * i + 1) * len(items) // (2 * limit)] for i in range(limit)]


def _one_each(items: Sequence[Item]) -> list[Item]:
    """The first item of each person."""
    return list({item.person: item for item in reversed(items)}.values())[::-1]
