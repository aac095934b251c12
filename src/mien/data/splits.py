"""Who is never trained on: the held-out people of the research data.

Held out are all development clips and source portraits, and about a tenth of the *people* of every
other set, with everything that shows them. `heldout.txt` lists the SHA-256 of the *content* of
each of their files, shortened to 16 digits, and the set it comes from; so a copied or renamed file
is known again, and the list names nobody.

| set | people held out | files held out |
| --- | --- | --- |
| `clips` | all | 9 of 9 |
| `portraits/sources` | all | 9 of 9 |
| `portraits/studio` | 14 of 128 | 25 of 225 |
| `portraits/congress` | 44 of 479 | 44 of 479 |
| `portraits/generated` | 129 of 1135 | 129 of 1135 |
| `portraits/wild_colour` | 48 of 562 | 50 of 564 |
| `clips_more` | 9 of 58 | 19 of 105 |
| `clips_extra` | 12 of 143 | 14 of 168 |

The studio set's composites are averages of people of that set, perhaps of held-out ones, so they
are held out as well, as the set `portraits/composite`.

The list is made again from the data by

    python -m mien.data.splits DATA_FOLDER > src/mien/data/heldout.txt
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mien.errors import MienError

SALT = "mien held-out people 1"
"""Mixed into each person's hash, so that the choice follows nothing but chance."""

FRACTION = 0.1
"""Share of the people of each divided set that is held out."""

WHOLLY_HELD_OUT = ("clips", "portraits/sources", "portraits/composite")
DIVIDED = (
    "portraits/studio",
    "portraits/congress",
    "portraits/generated",
    "portraits/wild_colour",
    "clips_more",
    "clips_extra",
)

SAME_PERSON = {
    "people/P44": "clips/st_ref_a",
    "portraits/congress/O000172": "clips/st_ref_a",
    "people/P69": "portraits/sources/lp_still_d38",
    "portraits/congress/L000582": "people/P16",
    "people/P43": "portraits/congress/S001193",
    "portraits/wild_colour/ffhq_0243": "portraits/wild_colour/ffhq_0482",
    "portraits/wild_colour/ffhq_0162": "portraits/wild_colour/ffhq_0023",
}
"""People whom the sets show twice, found by face descriptors between the two sides and by eye."""

_LISTED_PERSON = re.compile(r"^\| (\S+\.mp4) \| [^|]* \| (P\d+) \|", re.MULTILINE)


@dataclass(frozen=True)
class Item:
    """One file of the research data.

    Args:
        path: where it is.
        role: the set it belongs to, one of `WHOLLY_HELD_OUT` and `DIVIDED`.
        person: an anonymous label; files that show the same person share it.
    """

    path: Path
    role: str
    person: str

    @property
    def held_out(self) -> bool:
        """Whether the set, or else chance, keeps this person out of training."""
        if self.person.startswith(tuple(f"{name}/" for name in WHOLLY_HELD_OUT)):
            return True
        digest = hashlib.sha256(f"{SALT}/{self.person}".encode()).digest()
        return int.from_bytes(digest[:8], "big") < FRACTION * 2**64

    @property
    def clean(self) -> bool:
        """Whether it is free for any use, products included: public domain, or CC0."""
        free = self.role == "portraits/generated" and self.path.name.startswith("sd_")
        return free or self.role == "portraits/congress"


def content_hash(path: Path) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


@cache
def heldout_roles() -> dict[str, str]:
    """Content hash → role, for every held-out file."""
    text = Path(__file__).with_name("heldout.txt").read_text()
    return dict(line.split() for line in text.splitlines())


def is_heldout(path: Path | str) -> bool:
    """Whether a file shows somebody who must not be trained on, judged by its content."""
    return content_hash(Path(path)) in heldout_roles()


def survey(folder: Path | str) -> Iterator[Item]:
    """Every picture and clip of the research data in `folder`, with its person.

    Raises:
        MienError: a set is missing, or a clip that its README does not list.
    """
    folder = Path(folder)
    for name in (*DIVIDED, "portraits/sources", "clips"):
        files = sorted(p for p in (folder / name).glob("*") if p.suffix in (".jpg", ".mp4"))
        if not files:
            raise MienError(f"{folder / name} holds no pictures or clips; name the data folder.")
        listed = dict(_LISTED_PERSON.findall((folder / name / "README.md").read_text()))
        for path in files:
            yield _item(path, name, listed)


def _item(path: Path, name: str, listed: dict[str, str]) -> Item:
    role = name
    if name in ("clips_more", "clips_extra"):
        if path.name not in listed:
            raise MienError(f"{path} is not listed in its README; list its person there.")
        label = f"people/{listed[path.name]}"
    elif path.name.startswith("composite"):
        role, label = "portraits/composite", f"portraits/composite/{path.stem}"
    elif name == "portraits/studio":
        label = f"{name}/{path.stem.split('_')[0]}"
    else:
        label = f"{name}/{path.stem}"
    return Item(path, role, SAME_PERSON.get(label, label))


def heldout_text(folder: Path | str) -> str:
    """The content that `heldout.txt` must have for the data in `folder`."""
    lines = {f"{content_hash(i.path)} {i.role}" for i in survey(folder) if i.held_out}
    return "".join(f"{line}\n" for line in sorted(lines))


if __name__ == "__main__":
    sys.stdout.write(heldout_text(sys.argv[1]))
