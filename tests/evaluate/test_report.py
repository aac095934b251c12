import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from mien.evaluate import gallery as gallery_module
from mien.evaluate.conditions import Conditions
from mien.evaluate.gallery import CELL, Gallery, case_score, strip
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
    monkeypatch.setattr(gallery_module, "film", lambda *_: b"a film")
    return Gallery(shareable=False)


def test_a_case_is_scored_between_its_bounds() -> None:
    assert case_score(row("a", 1.0)) == 1.0
    assert case_score(row("a", 2.5)) == 0.5
    assert case_score(row("a", 400.0)) == -1.0
    assert math.isinf(case_score(Row("self", "a", "a", 1, {"AKD": Measure(1, 1, 1)})))


def test_the_worst_come_first(gallery: Gallery) -> None:
    for name, value in (("good", 1.2), ("bad", 3.9), ("fair", 2.0)):
        gallery.add(outcome(name, value), public=False)
    assert [r.source for r, _ in gallery.worst(2)] == ["bad", "fair"]
    assert gallery.films == {"cross": b"a film"}


def test_strips_show_the_source_then_moments() -> None:
    picture = strip(frames(1, 50)[0], frames(9, 100), frames(9, 200))
    assert picture.shape == (2 * CELL, 9 * CELL, 3)
    assert picture[CELL:, :CELL].mean() == 50
    assert picture[:CELL, CELL:].mean() == 100
    assert picture[CELL:, CELL:].mean() == 200


def test_what_may_be_shared_is_public_and_has_no_driver(monkeypatch) -> None:
    films = []
    monkeypatch.setattr(gallery_module, "film", lambda *clips: films.append(clips) or b"")
    shared = Gallery(shareable=True)
    shared.add(outcome("private", 2.0), public=False)
    assert not shared.strips
    shared.add(outcome("public", 2.0), public=True)
    assert len(shared.strips) == 1
    assert len(films) == 1
    assert len(films[0][1]) == 0


class Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.sources += [value for key, value in attrs if key in ("src", "href")]


def test_the_page_says_all_and_needs_nothing_else(gallery: Gallery) -> None:
    rows = (row("a <b>", 2.0), row("c", 3.0))
    for r in rows:
        gallery.add(Outcome(r, frames(1, 5)[0], frames(4, 9), frames(4, 9)), public=True)
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
