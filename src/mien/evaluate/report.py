"""One self-contained HTML page of an evaluation. It only formats."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable
from html import escape

import numpy as np

from mien.evaluate.catalogue import CATALOGUE, PROTOCOLS
from mien.evaluate.gallery import Gallery
from mien.evaluate.results import Results, Row
from mien.evaluate.statistics import Estimate, estimate, normalised
from mien.evaluate.summary import HEAD, summary_cells

WORST = 10
"""How many cases are shown."""

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem;
       color: #1a1a1a; background: #fff }
table { border-collapse: collapse; margin: 0.6rem 0 1.6rem }
th, td { padding: 0.2rem 0.7rem; text-align: right; border-bottom: 1px solid #ddd;
         font-variant-numeric: tabular-nums; white-space: nowrap }
th:first-child, td:first-child, td.text { text-align: left; white-space: normal }
small { color: #666 } img, video { max-width: 100%; display: block; margin: 0.3rem 0 }
details { margin: 0 0 1.6rem; overflow-x: auto }
@media (prefers-color-scheme: dark) {
  body { background: #161616; color: #ddd } th, td { border-color: #333 } small { color: #999 } }
"""


def report_page(results: Results, gallery: Gallery) -> str:
    """The page's HTML.

    Args:
        results: what was measured.
        gallery: what it looks like.
    """
    sections = [_protocol(results, name, gallery) for name in results.protocols()]
    return "\n".join(
        [
            '<!doctype html><html lang="en"><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width">',
            f"<title>Mien, measured</title><style>{STYLE}</style><h1>Mien, measured</h1>",
            _conditions(results),
            "<p>Every person here was held out of training. <i>Floor</i> and <i>ceiling</i> are "
            "what the still source and the true frames reach through the same crop and video "
            "codec (of identity: a stranger and the photo; of live: a frame's time and none); "
            "<i>score</i> is where the model lies between them, 0 to 1. Brackets hold 95% of "
            "bootstrap draws over cases.</p>",
            _summary(results),
            *sections,
            _missing(results),
            _worst(gallery),
            "</html>\n",
        ]
    )


def _conditions(results: Results) -> str:
    c = results.conditions
    facts = {"command": c.command, "commit": c.commit, "weights": c.weights}
    facts |= {"features by": c.ruler, "frames": f"{c.size}²", **c.machine}
    rows = "".join(
        f'<tr><td>{escape(k)}<td class="text">{escape(v or "none")}' for k, v in facts.items()
    )
    return f"<table>{rows}</table>"


def _summary(results: Results) -> str:
    body = "".join(_row(cells) for cells in summary_cells(results))
    return f"<h2>goals</h2><table>{_row(HEAD, 'th')}{body}</table>"


def _protocol(results: Results, protocol: str, gallery: Gallery) -> str:
    head = _row(["", "mean", "median", "floor", "ceiling", "score", "cases", ""], "th")
    body = "".join(_metric(results, protocol, name) for name in results.metrics(protocol))
    film = gallery.films.get(protocol)
    video = f'<video controls loop muted src="{_data(film, "video/mp4")}"></video>' if film else ""
    return (
        f"<h2>{escape(protocol)}</h2><p>{PROTOCOLS[protocol]}</p>{video}"
        f"<table>{head}{body}</table>{_cases(results, protocol)}"
    )


def _metric(results: Results, protocol: str, name: str) -> str:
    measures = list(results.of(protocol, name).values())
    metric = CATALOGUE[name]
    values = [m.value for m in measures]
    label = f"{name} ({metric.unit})" if metric.unit else name
    cells = [
        label,
        _interval(estimate(values)),
        _number(_mean(values, np.median)),
        _number(_mean(m.floor for m in measures)),
        _number(_mean(m.ceiling for m in measures)),
        _interval(normalised(measures)),
        str(int(np.isfinite(values).sum())),
    ]
    return _row(cells) + f'<td class="text"><small>{escape(metric.meaning)}</small>'


def _mean(values: Iterable[float], statistic=np.mean) -> float:
    known = [v for v in values if math.isfinite(v)]
    return float(statistic(known)) if known else math.nan


def _cases(results: Results, protocol: str) -> str:
    names = results.metrics(protocol)
    head = _row(["source", "driver", "frames", *names], "th")
    rows = [row for row in results.rows if row.protocol == protocol]
    body = "".join(_case(row, names) for row in rows)
    return f"<details><summary>case by case</summary><table>{head}{body}</table></details>"


def _case(row: Row, names: list[str]) -> str:
    figures = (_number(row.measures[n].value) if n in row.measures else "" for n in names)
    return _row([row.source, row.driver, str(row.frames), *figures])


def _missing(results: Results) -> str:
    if not results.missing:
        return ""
    rows = "".join(
        f'<tr><td>{escape(name)}<td class="text">{escape(reason)}'
        for name, reason in results.missing.items()
    )
    return f"<h2>not measured</h2><table>{rows}</table>"


def _worst(gallery: Gallery) -> str:
    if not gallery.strips:
        return ""
    figures = "".join(
        f"<h3>{escape(' · '.join(part for part in row.case if part))}</h3>"
        f'<img alt="" src="{_data(jpeg, "image/jpeg")}">'
        for row, jpeg in gallery.worst(WORST)
    )
    return (
        "<h2>worst cases</h2><p>Below, the source and what the model made of it; above, the "
        f"driving frames, where they may be shown.</p>{figures}"
    )


def _row(cells: Iterable[str], tag: str = "td") -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}" for cell in cells)


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "–"
    return (
        f"{value:.1f}"
        if abs(value) >= 20
        else f"{value:.2f}"
        if abs(value) >= 2
        else f"{value:.3f}"
    )


def _interval(e: Estimate) -> str:
    if not math.isfinite(e.value):
        return "–"
    return f"{_number(e.value)} [{_number(e.low)}, {_number(e.high)}]"


def _data(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
