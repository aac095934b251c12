"""Makes what the page's own tests check themselves against: `web/test/fixtures`.

PYTHONPATH=src python tests/serve/viewer_fixtures.py web/test/fixtures
"""

import sys
from pathlib import Path

import numpy as np
import skimage.data
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from mien.artifact import load_avatar, load_motion, read_weights, save_avatar, save_motion
from mien.artifact.baked import load_baked, save_baked
from mien.engine.play_cpu import express
from mien.model.network import Network
from mien.preprocess.face import find_faces
from mien.preprocess.pose import canonical_landmarks, fit_pose, head_motion
from mien.serve.controls import NAMES, load_controls
from mien.serve.export_networks import export_networks
from mien.serve.packets import Packet, decode_packet, encode_packet
from mien.serve.protocol import Range
from mien.structures import Camera, Gaussians

sys.path.insert(0, str(Path(__file__).parent))
from stand_in import avatar_of, baked_of, latent_of, small_network, take_of

VALUES = {"jawOpen": 0.7, "mouthSmileLeft": 0.5, "eyeLookUpRight": 1.0, "eyeBlinkLeft": 0.3}

RANGE = Range(3, [0.1 * d for d in range(8)], [0.5 + 0.1 * d for d in range(8)])

PACKET = Packet(
    range=3,
    sequence=65_000,
    milliseconds=4_000_000_000,
    rotation=np.float32([0.1, -3.0, 1.5]),
    translation=np.float32([-0.3, 0.01, 2.7]),
    latent=np.float32([0.6, -0.4, 0.0, 5.0, -5.0, 0.5, 0.61, 0.72]),
)
"""Two of its latents lie outside the range."""

VIEWPOINTS = ((0.0, 0.0, 0.0), (0.3, 0.2, 0.0), (-0.7, -0.4, 0.5))


def write(folder: Path) -> None:
    """Write the inputs, and what Python makes of them."""
    torch.manual_seed(7)
    folder.mkdir(parents=True, exist_ok=True)
    network = small_network()
    avatar = avatar_of(network, grid=8)
    save_avatar(folder / "anchored.mien", avatar)
    free = avatar.features + 0.5 * torch.randn_like(avatar.features)
    save_avatar(folder / "free.mien", type(avatar)(
        free, avatar.basis, avatar.source_latent, avatar.intrinsics, None, avatar.preset
    ))  # fmt: skip
    save_baked(folder / "baked.mien", baked_of(network, avatar))
    save_motion(folder / "take.motion", take_of(network))
    export_networks(network, folder / "networks.safetensors")
    save_file({"pixels": recorded_landmarks()}, folder / "landmarks.safetensors")
    (folder / "packet.bin").write_bytes(encode_packet(PACKET, RANGE))
    save_file(expected(folder), folder / "expected.safetensors")


def expected(folder: Path) -> dict[str, Tensor]:
    """What the page must compute from the files in `folder`; all float32, flat rows."""
    network = exported_network(folder / "networks.safetensors")
    controls = load_controls()
    weights = torch.tensor([VALUES.get(name, 0.0) for name in NAMES])
    result = {"values": weights, "landmarks": controls.landmarks(VALUES)}
    for kind in ("anchored", "free"):
        avatar = load_avatar(folder / f"{kind}.mien")
        latent = latent_of(network, controls, avatar, VALUES)
        gaussians, _ = network.animate(avatar, latent)
        result |= {
            f"{kind}.features": avatar.features,
            f"{kind}.latent": latent,
            **drawable(kind, gaussians),
        }
    baked = load_baked(folder / "baked.mien")
    result |= {"baked.weights": baked.weigh(latent), **drawable("baked", express(baked, latent))}
    cameras = Camera.orbit(*torch.tensor(VIEWPOINTS).T)
    take = load_motion(folder / "take.motion")
    result |= {
        "packet.rotation": torch.tensor(PACKET.rotation),
        "packet.translation": torch.tensor(PACKET.translation),
        "packet.latent": torch.tensor(PACKET.latent),
        "packet.read": torch.tensor(decode_packet(encode_packet(PACKET, RANGE), RANGE).latent),
        "range.centre": torch.tensor(RANGE.centre),
        "range.span": torch.tensor(RANGE.span),
        "viewpoints": torch.tensor(VIEWPOINTS),
        "cam_from_world": cameras.cam_from_world,
        "take.latents": take.latents,
        "take.median": take.latents.median(0).values,
        "take.cam_from_head": take.cam_from_head,
    }
    result |= expected_poses(load_file(folder / "landmarks.safetensors")["pixels"], network)
    return {name: value.contiguous() for name, value in result.items()}


def drawable(kind: str, gaussians: Gaussians) -> dict[str, Tensor]:
    """Gaussians as the page keeps them: four numbers each, the opacity behind the position."""
    blank = torch.zeros_like(gaussians.opacities[:, None])
    return {
        f"{kind}.means": torch.cat([gaussians.means, gaussians.opacities[:, None]], -1),
        f"{kind}.quats": gaussians.quats,
        f"{kind}.scales": torch.cat([gaussians.scales, blank], -1),
        f"{kind}.colors": torch.cat([gaussians.colors, blank], -1),
    }


def recorded_landmarks() -> Tensor:
    """(3, 478, 3) what the mesh sees of the astronaut, and the same tilted, moved and resized."""
    (face,) = find_faces(skimage.data.astronaut())
    frames = [face]
    for angle, size, shift in ((0.4, 0.6, (90, 30)), (-0.3, 1.7, (-60, 45))):
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        frames.append(size * np.concatenate([face[:, :2] @ turn + shift, face[:, 2:]], 1))
    return torch.from_numpy(np.stack(frames)).float()


def expected_poses(pixels: Tensor, network: Network) -> dict[str, Tensor]:
    """What landmarks in pixels (T, 478, 3) say of a head; it moves from where frame 0 has it."""
    pose = fit_pose(pixels.numpy())
    landmarks = torch.from_numpy(canonical_landmarks(pixels.double().numpy(), pose))
    moved = [head_motion(pose[np.array([i, 0])])[0] for i in range(len(pose))]
    return {
        "face.rotation": torch.from_numpy(pose.rotation).float(),
        "face.focal": torch.from_numpy(pose.focal).float(),
        "face.centre": torch.from_numpy(pose.centre).float(),
        "face.landmarks": landmarks,
        "face.latents": network.motion(landmarks),
        "face.cam_from_head": torch.from_numpy(np.stack(moved)),
    }


def exported_network(path: Path) -> Network:
    """The stand-in network with the weights that the page has."""
    network = small_network()
    state = read_weights(path).state
    parts = {
        name: value for name, value in state.items() if not name.startswith(("controls.", "face."))
    }
    network.load_state_dict(network.state_dict() | parts)
    return network


if __name__ == "__main__":
    write(Path(sys.argv[1]))
