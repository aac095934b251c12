import pytest
import torch

from mien.serve.controls import NAMES, load_controls


def test_every_control_moves_something_and_a_believable_way():
    controls = load_controls()
    moved = controls.shapes.norm(dim=-1).amax(1)
    assert len(set(NAMES)) == 51
    # From half a millimetre to four centimetres.
    assert (moved > 0.0012).all()
    assert (moved < 0.1).all()


def test_zero_is_the_neutral_face():
    controls = load_controls()
    assert torch.equal(controls.landmarks({}), controls.neutral)


@pytest.mark.parametrize(
    ("control", "landmark", "axis", "sign"),
    [
        ("jawOpen", 14, 1, -1),  # the lower lip falls
        ("jawOpen", 152, 1, -1),  # and the chin
        ("mouthSmileLeft", 291, 1, 1),  # the left corner, on the picture's right, rises
        ("mouthSmileRight", 61, 1, 1),
        ("eyeBlinkLeft", 386, 1, -1),  # the upper lid falls
        ("eyeBlinkRight", 159, 1, -1),
        ("eyeLookOutLeft", 473, 0, 1),  # the left iris goes to the person's left
        ("eyeLookInRight", 468, 0, 1),
        ("eyeLookUpLeft", 473, 1, 1),
        ("browInnerUp", 55, 1, 1),
    ],
)
def test_controls_move_what_they_are_named_after(control, landmark, axis, sign):
    controls = load_controls()
    shift = controls.landmarks({control: 1.0}) - controls.neutral
    assert sign * shift[landmark, axis] > 0.003


def test_an_open_jaw_parts_the_lips():
    controls = load_controls()
    closed, opened = controls.neutral, controls.landmarks({"jawOpen": 1.0})
    gap = (opened[13, 1] - opened[14, 1]) - (closed[13, 1] - closed[14, 1])
    assert gap > 0.05


def test_sides_do_not_mix():
    controls = load_controls()
    shift = controls.landmarks({"eyeBlinkLeft": 1.0}) - controls.neutral
    assert shift[controls.neutral[:, 0] < -0.02].abs().max() < 1e-3


def test_an_unknown_control_is_an_error():
    with pytest.raises(KeyError):
        load_controls().landmarks({"tongueOut": 1.0})
