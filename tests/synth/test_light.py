import numpy as np
from scipy.spatial.transform import Rotation

from mien.synth.light import harmonics, project, sample_light, sphere


def test_projection_gives_the_coefficients_back() -> None:
    rng = np.random.default_rng(0)
    sh = rng.normal(size=(9, 3))
    directions = sphere(4000)
    np.testing.assert_allclose(project(directions, harmonics(directions) @ sh), sh, atol=5e-3)


def test_turning_the_light_turns_what_is_seen() -> None:
    light = sample_light(np.random.default_rng(1))
    turn = Rotation.from_euler("yxz", [40, -20, 10], degrees=True).as_matrix()
    turned = light.turned(turn)
    directions = sphere(50)
    before = harmonics(directions) @ light.sh
    after = harmonics(directions @ turn.T) @ turned.sh
    np.testing.assert_allclose(after, before, atol=0.02 * np.abs(before).max())
    np.testing.assert_allclose(turned.directions, light.directions @ turn.T)


def test_faces_get_about_the_same_light_everywhere() -> None:
    totals = []
    for seed in range(200):
        light = sample_light(np.random.default_rng(seed))
        np.testing.assert_allclose(np.linalg.norm(light.directions, axis=1), 1)
        assert (light.colors >= 0).all()
        ahead = np.array([[0.0, 0.34, 0.94]])
        bands = np.array([1, *[0.667] * 3, *[0.25] * 5])
        lamps = np.clip(light.directions @ ahead[0], 0, None) @ light.colors
        totals.append(((harmonics(ahead) * bands) @ light.sh + lamps).mean())
    low, high = np.quantile(totals, [0.05, 0.95])
    assert low > 0.45
    assert high < 2.2
