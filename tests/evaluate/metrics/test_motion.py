import numpy as np
import pytest

from mien.evaluate.metrics.motion import (
    GROUPS,
    REGIONS,
    amount,
    correlation,
    follows,
    grouped,
    jitter,
    keypoint_distances,
    pose_error,
    without_pose,
)
from mien.evaluate.metrics.signals import SIGNALS

FRAMES = 60
NOISE = np.full(5, 0.006)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def take(rng: np.random.Generator) -> np.ndarray:
    """A face whose points all move smoothly and each in its own way."""
    base = rng.normal(size=(478, 3))
    base[33], base[263] = (-1.0, 0.0, 0.0), (1.0, 0.0, 0.0)
    phase = rng.uniform(0, 6, size=(478, 3))
    time = np.linspace(0, 12, FRAMES)[:, None, None]
    motion = 0.1 * np.sin(time + phase)
    motion[:, [33, 263]] = 0  # the outer eye corners, from which the scale is taken
    return base + motion


def test_correlation_by_hand() -> None:
    driver = np.array([[0.0, 0, 0], [1, 1, 1], [2, 2, 2]])
    output = np.array([[5.0, 2, 1], [7, 1, 3], [9, 0, 2]])
    assert correlation(driver, output, NOISE[:3]) == pytest.approx([1.0, -1.0, 0.5])


def test_what_the_driver_holds_still_says_nothing_and_a_still_output_does_not_follow() -> None:
    moving, still = np.linspace(0, 1, 9), np.full(9, 0.3)
    trembling = still + 1e-3 * moving
    driver = np.stack([still, moving, moving, trembling, moving], 1)
    output = np.stack([moving, still, moving, moving, trembling], 1)
    expected = [np.nan, 0, 1, np.nan, 0]
    assert correlation(driver, output, NOISE) == pytest.approx(expected, nan_ok=True)


def test_frames_without_a_face_are_left_out() -> None:
    driver = np.array([[0.0], [9.0], [1.0], [2.0]])
    output = np.array([[0.0], [np.nan], [2.0], [4.0]])
    assert correlation(driver, output, NOISE[:1]) == pytest.approx([1.0])
    assert np.isnan(correlation(driver[:3], output[:3], NOISE[:1])).all()


def test_amount_sees_what_correlation_does_not() -> None:
    driver = np.linspace(0, 1, 9)[:, None].repeat(4, 1)
    driver[:, 3] = 0.2
    output = driver * (1.0, 0.3, 0.0, 1.0) + 0.7
    expected = [1.0, 0.3, 0.0, np.nan]
    assert amount(driver, output, NOISE[:4]) == pytest.approx(expected, abs=1e-9, nan_ok=True)
    assert correlation(driver, output, NOISE[:4])[1] == pytest.approx(1.0)


def test_grouped_averages_what_is_known() -> None:
    values = np.arange(float(len(SIGNALS)))
    values[SIGNALS.index("gaze y")] = np.nan
    values[[SIGNALS.index(s) for s in GROUPS["brows"]]] = np.nan
    result = grouped(values)
    assert result["lids"] == 6.5
    assert result["gaze"] == 8.0
    assert np.isnan(result["brows"])


def test_a_turning_stiff_head_gains_nothing_beyond_pose(rng: np.random.Generator) -> None:
    angles = 20 * rng.normal(size=(200, 3))
    leak = 0.01 * angles[:, :1] + 1e-5 * angles[:, :1] ** 2
    driver = leak + 0.1 * rng.normal(size=(200, 1))
    stiff = leak + 0.01 * rng.normal(size=(200, 1))
    assert correlation(driver, stiff, NOISE[:1])[0] > 0.8
    beyond = correlation(without_pose(driver, angles), without_pose(stiff, angles), NOISE[:1])
    assert abs(beyond[0]) < 0.2
    follower = driver + 0.05 * rng.normal(size=(200, 1))
    beyond = correlation(without_pose(driver, angles), without_pose(follower, angles), NOISE[:1])
    assert beyond[0] > 0.8


def test_without_pose_keeps_unknown_frames_unknown(rng: np.random.Generator) -> None:
    signals, angles = rng.normal(size=(20, 2)), rng.normal(size=(20, 3))
    signals[3, 0] = np.nan
    residual = without_pose(signals, angles)
    assert np.isnan(residual[3]).tolist() == [True, False]
    assert np.isnan(without_pose(signals[:4], angles[:4])).all()


def test_keypoint_distances_by_hand(take: np.ndarray) -> None:
    output = take.copy()
    output[:, list(REGIONS["gaze"])] += (0.0, 0.0, 0.2)  # a tenth of the eye span of 2
    distances = keypoint_distances(take, output, same_person=True)
    assert distances["gaze"] == pytest.approx(10.0)
    assert distances["mouth"] == distances["eyes"] == distances["brows"] == 0.0
    assert distances["AKD"] == pytest.approx(10.0 * 10 / 478)


def test_another_persons_shape_and_size_do_not_count(take: np.ndarray, rng) -> None:
    shape = rng.normal(size=(478, 3))
    shape[33], shape[263] = (0.0, 0.0, 0.0), (3.4, 0.0, 0.0)
    other = 1.7 * (take - take.mean(0)) + shape
    across = keypoint_distances(take, other, same_person=False)
    assert across == pytest.approx(dict.fromkeys(across, 0.0), abs=1e-9)
    assert keypoint_distances(take, other, same_person=True)["AKD"] > 10


def test_shuffled_and_reversed_outputs_score_worse(take: np.ndarray) -> None:
    noisy = take + 0.005 * np.random.default_rng(1).normal(size=take.shape)
    shuffled = noisy[np.random.default_rng(2).permutation(FRAMES)]
    right, wrong = follows(take, noisy), follows(take, shuffled)
    assert all(right[name] > wrong[name] for name in right)
    for same_person in (True, False):
        right = keypoint_distances(take, noisy, same_person=same_person)
        wrong = keypoint_distances(take, shuffled, same_person=same_person)
        assert all(right[name] < wrong[name] for name in right)


def test_no_common_frame_gives_nan(take: np.ndarray) -> None:
    distances = keypoint_distances(take, np.full_like(take, np.nan), same_person=True)
    assert np.isnan(list(distances.values())).all()


def test_pose_error_by_hand_and_across_the_half_turn() -> None:
    truth = np.array([[0.0, 0, 179], [10, 0, 0], [np.nan, 0, 0]])
    output = np.array([[3.0, -1, -179], [11, 2, 0], [0, 0, 0]])
    expected = {"yaw": 2.0, "pitch": 1.5, "roll": 1.0, "pose": 1.5}
    assert pose_error(truth, output) == pytest.approx(expected)
    assert np.isnan(pose_error(truth, truth * np.nan)["pose"])


def test_jitter_by_hand(take: np.ndarray) -> None:
    assert jitter(take, take) == pytest.approx(1.0)
    assert jitter(take, take[:1].repeat(FRAMES, 0)) == 0.0
    trembling = take + 0.05 * (-1.0) ** np.arange(FRAMES)[:, None, None]
    assert jitter(take, trembling) > 3
    bigger_head = 3 * take
    assert jitter(take, bigger_head) == pytest.approx(1.0)
    assert np.isnan(jitter(take[:1].repeat(FRAMES, 0), take))
