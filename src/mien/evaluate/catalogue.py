"""How to read each figure: unit, direction, meaning."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mien.evaluate.metrics.motion import REGIONS
from mien.evaluate.metrics.signals import GROUPS


@dataclass(frozen=True)
class Metric:
    """How to read a figure.

    Args:
        meaning: one line for readers.
        best: infinity if more is better, or else the value that it should have.
        unit: what it is counted in.
    """

    meaning: str
    best: float
    unit: str = ""

    def gain(self, before: float, after: float) -> float:
        """How much better `after` is; negative if worse."""
        if math.isinf(self.best):
            return after - before
        return abs(before - self.best) - abs(after - self.best)


CATALOGUE = {
    "PSNR": Metric("peak signal to noise against the true frame", math.inf, "dB"),
    "SSIM": Metric("structural similarity to the true frame", math.inf),
    "MS-SSIM": Metric("multi-scale structural similarity to the true frame", math.inf),
    "FLIP": Metric("difference that an eye sees when flipping to the true frame", 0.0),
    "LPIPS": Metric("learned perceptual distance to the true frame", 0.0),
    "features": Metric("distance to the true frame in the features of Mien's own encoder", 0.0),
    "mask IoU": Metric("overlap of the silhouette with the true frame's", math.inf),
    "face found": Metric("frames in which MediaPipe finds a face", math.inf, "%"),
    "identity": Metric("median distance of dlib's descriptor to the source photo", 0.0),
    "sharpness": Metric("Laplacian inside the face over the source's", 1.0),
    "jitter": Metric("trembling of landmarks over the driver's", 1.0),
    "pose": Metric("mean error of yaw, pitch and roll", 0.0, "°"),
    "AKD": Metric("mean distance of landmarks without pose, of the eye span", 0.0, "%"),
    "expression": Metric("mean of the errors of mouth, eyes, brows and gaze", 0.0, "%"),
    **{f"error: {region}": Metric(f"AKD of the {region} alone", 0.0, "%") for region in REGIONS},
    **{
        f"follows: {group}": Metric(f"correlation with the driver, {group}", math.inf)
        for group in GROUPS
    },
    **{
        f"amount: {group}": Metric(f"motion made over motion asked for, {group}", 1.0)
        for group in GROUPS
    },
    **{
        f"beyond pose: {group}": Metric(
            f"correlation of what the head pose does not explain, {group}", math.inf
        )
        for group in GROUPS
    },
    "yaw slope": Metric("measured yaw over asked yaw, within ±35°", 1.0),
    "consistency": Metric("renders 20° apart warped by their depth (a stand-in for MEt3R)", 0.0),
    **{
        f"identity ±{angle}°": Metric(f"identity distance seen from ±{angle}°", 0.0)
        for angle in (12, 25, 40)
    },
    "latency": Metric("median time from a driver's frame to its picture", 0.0, "ms"),
    "latency, 95%": Metric("the time that one picture in twenty exceeds", 0.0, "ms"),
    "unevenness": Metric("standard deviation of those times", 0.0, "ms"),
}
"""Every figure that a protocol may give, in the order of tables."""

PROTOCOLS = {
    "self": "Self-reenactment: a clip's first frame, driven by the others and compared with them.",
    "cross": "Cross-reenactment: a photo driven by another person's clip, in that person's poses.",
    "synthetic": "Novel views with true pictures: a rendered head that no training has seen, its "
    "photo from the front against renders from yaws between -45° and 45°.",
    "views": "Novel views: a photo seen from yaws between -40° and 40°.",
    "live": "Live: frames come one by one, on this machine; found, followed, animated and drawn.",
}
"""What each protocol is."""
