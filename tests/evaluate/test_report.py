import io
import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from mien.evaluate import gallery as gallery_module
from mien.evaluate.conditions import Conditions
from mien.evaluate.gallery import CELL, Gallery, case_score, exhibit, strip
from mien.evaluate.protocols import Outcome
from mien.evaluate.report import report_page
from mien.evaluate.results import Measure, Results, Row


def row(name: str, value: float, protocol: str = "cross") -> Row:
    measures = {"AKD": Measure(value, 4.0, 1.0), "identity": Measure(0.3, math.nan, 0.0)}
    return Row(protocol, name, "driver <1>", 30, measures)


def frames(count: int, level: int) -> np.ndarray:
    return np.full((count, 64, 64, 3), level, np.uint8)


def outcome(name: str, value: float) -> Outcome:
    return Outcome(row(name, value), frames(1, 50)[0], frames(9, 100), frames(9, 200))


@pytest.fixture
def gallery(monkeypatch: pytest.MonkeyPatch) -> Gallery:
    monkeypatch.setattr(gallery_module, "side_by_side", lambda *_: b"a film")
    return Gallery()


def test_a_case_is_scored_between_its_bounds() -> None:
    assert case_score(row("a", 1.0)) == 1.0
    assert case_score(row("a", 2.5)) == 0.5
    assert case_score(row("a", 400.0)) == -1.0
    assert math.isinf(case_score(Row("self", "a", "a", 1, {"AKD": Measure(1, 1, 1)})))


def test_the_worst_come_first(gallery: Gallery) -> None:
    for name, value in (("good", 1.2), ("bad", 3.9), ("fair", 2.0)):
        gallery.add(exhibit(outcome(name, value), truth=True, film=True))
    slow = Outcome(row("slow", 9.0, "live"), *(frames(n, 9) for n in (1, 3, 3)))
    gallery.add(exhibit(replace(slow, source=slow.source[0]), truth=True, film=False))
    assert [r.source for r, _ in gallery.worst(2)] == ["bad", "fair"]
    assert gallery.films == {"cross": b"a film"}


def test_strips_show_the_source_then_moments() -> None:
    picture = strip(frames(1, 50)[0], frames(9, 100), frames(9, 200))
    assert picture.shape == (2 * CELL, 9 * CELL, 3)
    assert picture[CELL:, :CELL].mean() == 50
    assert picture[:CELL, CELL:].mean() == 100
    assert picture[CELL:, CELL:].mean() == 200


def test_without_the_truth_only_the_output_is_shown(monkeypatch) -> None:
    films = []
    monkeypatch.setattr(gallery_module, "side_by_side", lambda *clips: films.append(clips) or b"")
    shown = exhibit(outcome("public", 2.0), truth=False, film=True)
    assert len(films[0][1]) == 0
    with Image.open(io.BytesIO(shown.strip)) as picture:
        assert picture.height == CELL
    assert not exhibit(outcome("public", 2.0), truth=False, film=False).film
    assert len(films) == 1


class Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.sources += [value for key, value in attrs if key in ("src", "href")]


def test_the_page_says_all_and_needs_nothing_else(gallery: Gallery) -> None:
    rows = (row("a <b>", 2.0), row("c", 3.0))
    for r in rows:
        case = Outcome(r, frames(1, 5)[0], frames(4, 9), frames(4, 9))
        gallery.add(exhibit(case, truth=True, film=True))
    conditions = Conditions("mien eval", "abc123", "feed", {"cores": "2"})
    page = report_page(Results(rows, conditions, {"LPIPS": "no weights"}), gallery)
    links = Links()
    links.feed(page)
    assert len(links.sources) == 3  # a film and two strips
    assert all(source.startswith("data:") for source in links.sources)
    for said in ("abc123", "feed", "no weights", "a &lt;b&gt;", "driver &lt;1&gt;"):
        assert said in page
    assert "a <b>" not in page
    text = re.sub(r"<[^>]*>", " ", page)
    assert re.search(r"AKD \(%\)\s+2\.50 \[2\.00, 3\.00\]\s+2\.50\s+4\.00\s+1\.000\s+0\.500", text)
    assert "nan" not in text
