import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import mien
from mien.artifact import Baked, load_avatar, load_baked, save_baked, save_motion
from mien.engine import bake
from mien.engine.play_cpu import express
from mien.model.matching import motion_weights
from mien.model.network import Network
from mien.preprocess.photo import portrait
from mien.presets import tiny
from mien.structures import Motion, Portrait

PHOTO = Path(__file__).parents[1] / "examples" / "astronaut.jpg"


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(1)
    return Network(tiny()).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def cut() -> Portrait:
    return portrait(PHOTO)


@pytest.fixture(scope="module")
def head(network, cut) -> mien.Head:
    return mien.encode(cut, network=network, detail="fast")


def test_import_is_light():
    program = "import sys, mien; print('torch' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "False False\n"


def test_every_name_is_there():
    assert all(getattr(mien, name) for name in mien.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = mien.nonsense


def test_three_lines(network, head):
    latent = torch.zeros(network.config.latent)
    frame = head.animate(latent).render(mien.Camera.orbit(yaw=0.3), 64)
    assert frame.image.shape == (3, 64, 64)
    assert frame.alpha.max() > 0.9


def test_a_file_an_array_and_a_portrait_are_the_same_photo(network, head):
    from mien.preprocess.photo import read_photo

    for photo in (str(PHOTO), read_photo(PHOTO).image):
        again = mien.encode(photo, network=network, detail="fast")
        torch.testing.assert_close(again.avatar.features, head.avatar.features)


def test_without_a_latent_the_photos_own_expression_is_kept(head):
    own = head.animate(head.avatar.source_latent).gaussians
    torch.testing.assert_close(head.animate().gaussians.means, own.means)


def test_without_a_camera_the_view_is_frontal_in_the_avatars_framing(head):
    camera = replace(mien.Camera.orbit(), intrinsics=head.avatar.intrinsics)
    posed = head.animate()
    np.testing.assert_array_equal(posed.render(size=64).image, posed.render(camera, 64).image)


def test_a_head_comes_back_from_its_file(network, cut, tmp_path):
    agreed = {"consent": "agreed"}
    head = mien.encode(cut, network=network, detail="fast", provenance=agreed)
    head.save(tmp_path / "me.mien")
    again = mien.load(tmp_path / "me.mien", network=network)
    assert again.avatar.provenance["consent"] == "agreed"
    assert load_avatar(tmp_path / "me.mien").features.shape == head.avatar.features.shape
    difference = head.animate().render(size=64).image - again.animate().render(size=64).image
    assert difference.abs().mean() < 0.01


@pytest.fixture
def baked(network, head, monkeypatch) -> Baked:
    """The head, baked in a hurry."""
    for name, value in {"SAMPLES": 24, "LESSONS": 100, "WITNESSES": 32, "EPOCHS": 2}.items():
        monkeypatch.setattr(bake, name, value)
    return bake.bake(network, head.avatar, bases=4)


def test_a_baked_head_comes_back_from_its_file(network, baked, tmp_path):
    save_baked(tmp_path / "first.mien", baked)
    mien.load(tmp_path / "first.mien", network=network).save(tmp_path / "second.mien")
    again = mien.load(tmp_path / "second.mien", network=network)
    assert isinstance(again.avatar, Baked)
    assert len(again) == len(baked)
    latent = torch.ones(network.config.latent)
    plain = express(load_baked(tmp_path / "first.mien"), latent)
    torch.testing.assert_close(again.animate(latent).gaussians.means, plain.means)
    assert again.animate().render(size=64).alpha.max() > 0.9


def test_a_baked_avatar_of_other_weights_is_refused(network, baked, tmp_path):
    save_baked(tmp_path / "me.mien", replace(baked, weights="0" * 32))
    with pytest.raises(mien.MienError, match=r"me\.mien was baked with other weights"):
        mien.load(tmp_path / "me.mien", network=network)


def test_latents_of_other_weights_are_refused(network, tmp_path):
    take = Motion(
        latents=torch.zeros(1, 8),
        cam_from_head=torch.eye(4)[None],
        times=torch.zeros(1).double(),
        fps=25.0,
        preset="tiny",
        weights=motion_weights(network),
    )
    save_motion(tmp_path / "same.motion", take)
    assert len(mien.motion(tmp_path / "same.motion", network=network)) == 1
    for name, other, said in (
        ("preset", replace(take, preset="base"), "with the preset 'base'"),
        ("weights", replace(take, weights="0" * 32), "with other weights"),
    ):
        save_motion(tmp_path / f"{name}.motion", other)
        with pytest.raises(mien.MienError, match=f"{name}.motion was made {said}"):
            mien.motion(tmp_path / f"{name}.motion", network=network)


def test_an_avatar_of_other_weights_is_refused(head, tmp_path):
    head.save(tmp_path / "me.mien")
    retrained = Network(tiny()).eval().requires_grad_(False)
    with pytest.raises(mien.MienError, match="made with other weights; encode the photo again"):
        mien.load(tmp_path / "me.mien", network=retrained)
