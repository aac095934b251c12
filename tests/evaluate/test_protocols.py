import math

import numpy as np
import pytest

from mien.evaluate.catalogue import CATALOGUE
from mien.evaluate.protocols import (
    STRANGER,
    Outcome,
    cross_reenactment,
    reenactment,
    self_reenactment,
    yardstick,
)

from .puppets import INSTRUMENTS, PICTURES, follow, puppeteer, scene, shuffled

STILL, HALF, PERFECT = (puppeteer(follow(s)) for s in (0.0, 0.8, 1.0))


def score(outcome: Outcome, name: str) -> float:
    m = outcome.row.measures[name]
    return (m.value - m.floor) / (m.ceiling - m.floor)


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Outcome]:
    clip = scene(1, 41)
    makers = {"still": STILL, "half": HALF, "perfect": PERFECT, "shuffled": puppeteer(shuffled)}
    return {name: self_reenactment(clip, maker, INSTRUMENTS) for name, maker in makers.items()}


def moving(outcome: Outcome) -> list[str]:
    """Metrics that motion bears on: those whose bounds lie apart."""
    same = ("identity", "sharpness", "face found")
    return [name for name in outcome.row.measures if name not in same]


def test_the_row_names_its_case(outcomes) -> None:
    row = outcomes["half"].row
    assert row.case == ("self", "person 1", "person 1")
    assert row.frames == 40
    assert list(row.measures) == [name for name in CATALOGUE if name in row.measures]
    assert {"PSNR", "SSIM", "mask IoU", "identity", "error: gaze", "follows: lids"} < set(
        row.measures
    )


def test_ceiling_beats_the_model_beats_the_floor(outcomes) -> None:
    for name in moving(outcomes["half"]):
        m = outcomes["half"].row.measures[name]
        gain = CATALOGUE[name].gain
        assert gain(m.floor, m.ceiling) > 0, name
        assert gain(m.value, m.ceiling) > 0 or name.startswith(("follows", "beyond")), name
        assert gain(m.floor, m.value) > 0, name


def test_the_still_source_is_the_floor_and_the_true_frames_the_ceiling(outcomes) -> None:
    for name in moving(outcomes["still"]):
        assert score(outcomes["still"], name) == pytest.approx(0, abs=1e-6), name
        assert score(outcomes["perfect"], name) == pytest.approx(1, abs=0.1), name


def test_shuffled_outputs_score_worse_on_every_metric(outcomes) -> None:
    for name in moving(outcomes["perfect"]):
        right = outcomes["perfect"].row.measures[name].value
        wrong = outcomes["shuffled"].row.measures[name].value
        assert CATALOGUE[name].gain(wrong, right) > 0, name


def test_cross_reenactment_keeps_identity_and_follows() -> None:
    source, driver = scene(2, 1), scene(1, 40)
    right = cross_reenactment(source, driver, PERFECT, INSTRUMENTS).row.measures
    wrong = cross_reenactment(source, driver, puppeteer(shuffled), INSTRUMENTS).row.measures
    assert "PSNR" not in right
    assert right["identity"].value == pytest.approx(0, abs=0.01)
    assert right["follows: mouth opening"].value > 0.95
    assert right["AKD"].value < 0.5 * wrong["AKD"].value
    for name in right:
        if name not in ("identity", "sharpness", "face found"):
            assert CATALOGUE[name].gain(wrong[name].value, right[name].value) > 0, name


def test_a_stranger_is_the_floor_of_identity_and_the_photo_its_ceiling() -> None:
    def impostor(source, drivers, yaw):
        return drivers

    outcome = cross_reenactment(scene(2, 1), scene(4, 20), puppeteer(impostor), INSTRUMENTS)
    identity = outcome.row.measures["identity"]
    assert identity.ceiling == pytest.approx(0, abs=0.01)
    assert identity.floor == identity.value == pytest.approx(0.4, abs=0.01)


def test_beyond_the_edge_of_the_true_picture_nothing_is_compared() -> None:
    clip = scene(1, 20)
    clip.known[:, 72:] = False
    clip.crops[:, 72:] = 0

    def overdrawn(source, drivers, cameras, size):
        for rendered in PERFECT(source, drivers, cameras, size):
            rendered.image[:, 72:] = 1.0
            yield rendered

    measures = self_reenactment(clip, overdrawn, INSTRUMENTS).row.measures
    assert measures["PSNR"].value == pytest.approx(measures["PSNR"].ceiling, abs=3.0)


def test_frames_without_a_face_are_counted() -> None:
    def blinded(frames):
        track = INSTRUMENTS.track(frames)
        if frames.std(0).max() > 20:  # not the still source
            track.points[::2] = np.nan
        return track

    from dataclasses import replace

    blind = replace(INSTRUMENTS, track=blinded)
    row = self_reenactment(scene(1, 41), PERFECT, blind).row
    assert row.measures["face found"].value == 50.0
    assert math.isfinite(row.measures["identity"].value)


def test_a_yardstick_that_was_kept_measures_the_same() -> None:
    clip = scene(1, 41)
    known = yardstick("self", clip[:1], clip[1:], INSTRUMENTS)
    fresh = self_reenactment(clip, HALF, INSTRUMENTS).row
    assert self_reenactment(clip, HALF, INSTRUMENTS, known).row == fresh


def test_every_metric_has_its_bounds(outcomes) -> None:
    for m in outcomes["half"].row.measures.values():
        assert math.isfinite(m.floor)
        assert math.isfinite(m.ceiling)
    assert outcomes["half"].row.measures["identity"].floor == STRANGER


def test_outputs_of_other_people_look_worse_too() -> None:
    """Identity, which shuffling over time does not change."""

    def stranger(source, drivers, yaw):
        values = follow(1.0)(source, drivers, yaw)
        values[:, 13] = 0.8
        return values

    right = self_reenactment(scene(1, 20), PERFECT, INSTRUMENTS).row.measures
    wrong = self_reenactment(scene(1, 20), puppeteer(stranger), INSTRUMENTS).row.measures
    for name in ("identity", *PICTURES):
        assert CATALOGUE[name].gain(wrong[name].value, right[name].value) > 0, name


def test_rendered_heads_are_compared_but_do_not_move() -> None:
    truth = scene(1, 9)
    row = reenactment("synthetic", truth[:1], truth[1:], PERFECT, INSTRUMENTS).row
    assert {"PSNR", "features", "mask IoU", "identity", "pose", "AKD"} < set(row.measures)
    assert not any(name.startswith(("follows", "jitter")) for name in row.measures)
