import numpy as np

from mien.synth.expression import (
    MOODS,
    VISEMES,
    blend,
    gaze,
    sample_expression,
    sample_faces,
)
from mien.synth.rig import ARKIT


def faces(count: int) -> np.ndarray:
    return np.stack([sample_expression(np.random.default_rng(seed)) for seed in range(count)])


def test_names_are_arkits() -> None:
    stems = {name.removesuffix("_L").removesuffix("_R") for name in ARKIT}
    for parts in (*MOODS.values(), *VISEMES):
        assert set(parts) <= stems


def test_faces_are_in_range_and_the_same_for_the_same_seed() -> None:
    sampled = faces(200)
    assert sampled.min() >= 0
    assert sampled.max() <= 1
    np.testing.assert_array_equal(sampled, faces(200))


def test_every_coefficient_is_used() -> None:
    assert (faces(800).max(0) > 0.15).all()


def test_a_closed_mouth_is_not_open() -> None:
    sampled = faces(300)
    jaw = sampled[:, ARKIT.index("jawOpen")]
    for name in ("mouthPress_L", "cheekPuff_R"):
        assert (sampled[:, ARKIT.index(name)] + jaw <= 1 + 1e-9).all()
    assert (sampled[:, ARKIT.index("mouthClose")] <= jaw + 1e-9).all()


def test_one_sided_faces_exist() -> None:
    left, right = (blend({"mouthSmile": 1.0}, side) for side in (1, -1))
    assert left[ARKIT.index("mouthSmile_L")] == 1
    assert left[ARKIT.index("mouthSmile_R")] == 0
    assert right[ARKIT.index("mouthSmile_R")] == 1
    assert right[ARKIT.index("mouthSmile_L")] == 0


def test_eyes_look_together() -> None:
    face = gaze(0.5, -0.25)
    assert face[ARKIT.index("eyeLookOut_L")] == face[ARKIT.index("eyeLookIn_R")] == 0.5
    assert face[ARKIT.index("eyeLookDown_L")] == face[ARKIT.index("eyeLookDown_R")] == 0.25


def test_a_persons_faces_show_what_portraits_must_learn() -> None:
    sampled = np.concatenate([sample_faces(np.random.default_rng(s), 8) for s in range(150)])
    assert sampled.min() >= 0
    assert sampled.max() <= 1
    one = {name: sampled[:, ARKIT.index(name)] for name in ARKIT}
    closed = (one["eyeBlink_L"] + 0.35 * one["eyeLookDown_L"] > 0.85).mean()
    assert closed > 0.12
    assert (one["jawOpen"] > 0.5).mean() > 0.06
    assert (one["browOuterUp_L"] > 0.5).mean() > 0.08
    assert (np.abs(one["eyeLookOut_L"] - one["eyeLookIn_L"]) > 0.5).mean() > 0.15
    assert (np.abs(one["mouthSmile_L"] - one["mouthSmile_R"]) > 0.3).mean() > 0.03


def test_brows_go_up_once_not_twice() -> None:
    sampled = faces(400)
    for tag in ("_L", "_R"):
        up = sampled[:, [ARKIT.index(f"brow{end}Up{tag}") for end in ("Inner", "Outer")]].sum(1)
        assert up.max() <= 1.2 + 1e-9
        assert (up > 1.0).any()
