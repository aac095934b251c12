import math

import numpy as np
import pytest

from mien.evaluate.catalogue import CATALOGUE
from mien.evaluate.views import VIEWS, novel_views, yaw_slope

from .puppets import INSTRUMENTS, follow, puppeteer, scene

PERFECT = puppeteer(follow(1.0))


def test_novel_views_measure_what_was_asked() -> None:
    row = novel_views(scene(1, 1), PERFECT, INSTRUMENTS).row
    assert row.frames == len(VIEWS)
    assert row.measures["yaw slope"].value == pytest.approx(1.0, abs=0.05)
    assert row.measures["identity ±25°"].value == pytest.approx(0.0, abs=0.01)
    stiff = novel_views(scene(1, 1), puppeteer(follow(0.0)), INSTRUMENTS).row
    assert stiff.measures["yaw slope"].value == pytest.approx(0.0, abs=0.05)


def test_every_view_metric_has_its_bounds() -> None:
    for name, m in novel_views(scene(1, 1), PERFECT, INSTRUMENTS).row.measures.items():
        assert CATALOGUE[name].gain(m.floor, m.ceiling) > 0, name


def test_yaw_slope_by_hand() -> None:
    asked = np.array([-40.0, -30, 0, 30, 40])
    measured = np.array([99.0, -20, 1, 22, -99])  # beyond 35° nothing counts
    assert yaw_slope(asked, measured) == pytest.approx(0.7)
    assert math.isnan(yaw_slope(asked, measured * np.nan))
