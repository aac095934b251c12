import math

import numpy as np
import pytest

from mien.evaluate.results import Measure
from mien.evaluate.statistics import estimate, normalised


def test_the_interval_of_a_mean_is_about_two_standard_errors() -> None:
    cases = np.random.default_rng(0).normal(5, 2, 400)
    result = estimate(cases)
    assert result.value == pytest.approx(cases.mean())
    assert result.high - result.low == pytest.approx(2 * 1.96 * cases.std() / 20, rel=0.1)
    assert result.low < result.value < result.high
    assert result.cases == 400


def test_the_draws_are_the_same_each_time() -> None:
    assert estimate([1.0, 2, 4, 8]) == estimate([1.0, 2, 4, 8])


def test_unknown_cases_are_left_out() -> None:
    assert estimate([1.0, math.nan, 3.0, math.inf]).value == 2.0
    assert estimate([1.0, math.nan, 3.0]).cases == 2
    for nothing in ([], [math.nan]):
        result = estimate(nothing)
        assert result.cases == 0
        assert math.isnan(result.value)


def test_one_case_has_no_spread() -> None:
    result = estimate([3.0])
    assert (result.value, result.low, result.high) == (3.0, 3.0, 3.0)


def test_normalised_by_hand() -> None:
    # Means: value 3, floor 1, ceiling 5. The second case's own bounds meet.
    measures = [Measure(4, 0, 8), Measure(2, 2, 2)]
    assert normalised(measures).value == pytest.approx(0.5)
    assert normalised([Measure(30, 20, 40), Measure(10, 20, 0)]).cases == 2
    assert math.isnan(normalised([Measure(1, 1, 1)]).value)


def test_bounds_may_fall() -> None:
    assert normalised([Measure(0.1, 0.5, 0.0)]).value == pytest.approx(0.8)
