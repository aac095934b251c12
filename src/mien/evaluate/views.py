"""Novel views of real photos, of which no true picture exists: what can be said all the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from mien.evaluate.metrics.consistency import multi_view_consistency
from mien.evaluate.metrics.identity import identity_distances
from mien.evaluate.protocols import STRANGER, Outcome, Reenactor, collect
from mien.evaluate.results import Measure, Row
from mien.evaluate.takes import Instruments, Scene, look, pictures
from mien.structures import Camera, Rendered

VIEWS = (-40, -35, -30, -25, -20, -12, -6, 0, 6, 12, 20, 25, 30, 35, 40)
"""Yaws in degrees that the photo is asked to be seen from."""

SLOPE_WITHIN = 35
"""Degrees of yaw within which the slope is fitted."""

APART = 20
"""Degrees between the views whose consistency is measured."""


def novel_views(source: Scene, reenactor: Reenactor, instruments: Instruments) -> Outcome:
    """A photo, its own expression kept, seen from a sweep of yaws.

    The floor of consistency is the still photo, whatever the view, on the renders' depth.
    """
    asked = np.array(VIEWS)
    orbit = Camera.orbit(torch.tensor(VIEWS).deg2rad())
    cameras = Camera(orbit.world_from_cam, source.cameras.intrinsics.expand(len(asked), 3, 3))
    drivers = [source.images[0]] * len(asked)
    rendered = list(reenactor(source.images[0], drivers, cameras, source.crops.shape[1]))
    views = look(*collect(rendered), instruments)
    photo = look(source.crops, source.alpha, instruments)
    distances = identity_distances(photo.descriptors[0], views.descriptors)
    photograph = pictures(source.crops)[0]
    floor = _consistency([replace(r, image=photograph) for r in rendered], cameras)
    measures = {
        "face found": Measure(100.0 * float(views.track.found.mean()), 0.0, 100.0),
        "yaw slope": Measure(yaw_slope(asked, views.track.angles[:, 0]), 0.0, 1.0),
        "consistency": Measure(_consistency(rendered, cameras), floor, 0.0),
    }
    for angle in (12, 25, 40):
        both = _mean(distances[np.abs(asked) == angle])
        measures[f"identity ±{angle}°"] = Measure(both, STRANGER, 0.0)
    row = Row("views", source.name, "", len(asked), measures)
    return Outcome(row, source.crops[0], views.frames[:0], views.frames)


def _mean(values: np.ndarray) -> float:
    """Over the values that are known."""
    return float(np.nanmean(values)) if np.isfinite(values).any() else math.nan


def yaw_slope(asked: np.ndarray, measured: np.ndarray) -> float:
    """Slope of the line through measured over asked yaw, degrees, within `SLOPE_WITHIN`."""
    used = (np.abs(asked) <= SLOPE_WITHIN) & np.isfinite(measured)
    return float(np.polyfit(asked[used], measured[used], 1)[0]) if used.sum() > 1 else math.nan


def _consistency(rendered: Sequence[Rendered], cameras: Camera) -> float:
    errors = []
    for i, yaw in enumerate(VIEWS):
        if yaw + APART in VIEWS:
            j = VIEWS.index(yaw + APART)
            first, second = (rendered[k].map(lambda t: t[None]) for k in (i, j))
            there = multi_view_consistency(first, cameras[i : i + 1], second, cameras[j : j + 1])
            errors.append(there[0])
    return float(torch.cat(errors).nanmean())
