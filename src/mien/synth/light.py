"""Surroundings that light a head: random worlds of sky, windows and lamps.

Radiance is linear; axes are the camera's, y up and z towards the camera, until `turned` moves them
to the head's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Light:
    """Light from far away.

    Args:
        sh: (9, 3) spherical harmonics of the surroundings' radiance, real, bands 0 to 2.
        directions: (3, 3) unit vectors towards three lamps; the first casts shadows.
        colors: (3, 3) irradiance of each divided by pi.
        softness: radius of the shadow's edge, in shadow map widths.
    """

    sh: np.ndarray
    directions: np.ndarray
    colors: np.ndarray
    softness: float

    def turned(self, rotation: np.ndarray) -> Light:
        """The same light seen in axes that `rotation` (3, 3) leads to."""
        samples = sphere(256)
        radiance = harmonics(samples) @ self.sh
        sh = project(samples @ rotation.T, radiance)
        return replace(self, sh=sh, directions=self.directions @ rotation.T)


def harmonics(directions: np.ndarray) -> np.ndarray:
    """Real spherical harmonics of bands 0 to 2 at unit vectors (n, 3): (n, 9)."""
    x, y, z = directions.T
    return np.stack(
        [
            np.full_like(x, 0.282095),
            0.488603 * y,
            0.488603 * z,
            0.488603 * x,
            1.092548 * x * y,
            1.092548 * y * z,
            0.315392 * (3 * z * z - 1),
            1.092548 * x * z,
            0.546274 * (x * x - y * y),
        ],
        -1,
    )


def sphere(count: int) -> np.ndarray:
    """(count, 3) directions spread evenly (Fibonacci)."""
    i = np.arange(count) + 0.5
    z = 1 - 2 * i / count
    angle = np.pi * (1 + 5**0.5) * i
    ring = np.sqrt(1 - z * z)
    return np.stack([ring * np.cos(angle), ring * np.sin(angle), z], -1)


def project(directions: np.ndarray, radiance: np.ndarray) -> np.ndarray:
    """Radiance (n, 3) at evenly spread directions (n, 3) to harmonics (9, 3)."""
    return harmonics(directions).T @ radiance * (4 * np.pi / len(directions))


def kelvin(temperature: float) -> np.ndarray:
    """Linear RGB of a black body against daylight at 6500 K, green = 1; 2500 to 10000 K."""
    t = np.log(temperature / 6500.0)
    return np.array([np.exp(-0.95 * t), 1.0, np.exp(1.25 * t)])


def _toward(azimuth: float, height: float) -> np.ndarray:
    a, h = np.radians(azimuth), np.radians(height)
    return np.array([np.sin(a) * np.cos(h), np.sin(h), np.cos(a) * np.cos(h)])


def sample_light(rng: np.random.Generator) -> Light:
    """A random place: studio, window, open sky, evening lamps; total brightness about constant."""
    directions = sphere(256)
    ground = rng.uniform(0.4, 1.2)
    up = directions[:, 1]
    sky, floor = kelvin(rng.uniform(4000, 9500)), kelvin(rng.uniform(3800, 8500))
    high = np.clip(0.4 + 0.6 * up, 0, None)[:, None] * sky
    world = np.where(up[:, None] > 0, high, (ground * (1 + 0.3 * up))[:, None] * floor)
    world = world * (1 + rng.uniform(0.2, 1.0) * directions[:, 2:])  # who photographs has light
    # A few large soft shapes: windows, walls, reflectors.
    for _ in range(rng.integers(1, 5)):
        toward = _toward(rng.normal(0, 45), rng.uniform(-15, 60))
        size = rng.uniform(2.0, 12.0)
        lobe = np.exp(size * (directions @ toward - 1))[:, None]
        world = world + lobe * kelvin(rng.uniform(3500, 8000)) * rng.uniform(0.3, 2.5)
    sh = project(directions, world)
    mean_front = (harmonics(_toward(0, 20)[None]) * [1, *[0.667] * 3, *[0.25] * 5]) @ sh
    share = rng.beta(1.8, 2.4) * 0.85 + 0.08  # of the surroundings; the rest is lamps
    sh = sh * share / mean_front.mean()

    azimuth = rng.normal(0, 32) if rng.random() < 0.85 else rng.uniform(-110, 110)
    key = _toward(azimuth, rng.uniform(0, 47))
    fill = _toward(-np.sign(azimuth + 1e-6) * rng.uniform(10, 65), rng.uniform(-10, 35))
    rim = _toward(rng.choice([-1, 1]) * rng.uniform(115, 165), rng.uniform(5, 50))
    warm = kelvin(np.clip(rng.normal(5600, 1300), 2700, 9500))
    facing = max(key[2], 0.45)
    colors = np.stack(
        [
            warm * (1 - share) / facing,
            kelvin(rng.uniform(3200, 8500)) * (1 - share) * rng.uniform(0.1, 0.6),
            kelvin(rng.uniform(3000, 9000)) * (rng.random() < 0.25) * rng.uniform(0.05, 0.7),
        ]
    )
    if rng.random() < 0.12:  # coloured light now and then: stages, screens, evenings
        colors[rng.integers(0, 3)] *= rng.uniform(0.3, 1.6, 3)
    return Light(sh, np.stack([key, fill, rim]), colors, rng.uniform(0.005, 0.03))
