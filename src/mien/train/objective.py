"""What the student is asked for: a batch to its losses.

The loop is in `animate`, the adversary's wishes in `adversary`.

Axis legend: B sources, T = 2B targets, U turned views, D latent, H W pixels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien.model.network import Network
from mien.render import Backend, splat
from mien.structures import Avatar, Camera
from mien.synth.dialect import load_dialect
from mien.train import adversary, losses
from mien.train.adversary import Views
from mien.train.batches import Batch
from mien.train.reader import SIDE, Reader, face_camera, face_centre, face_crop, turned, view


class Animate(nn.Module):
    """A batch to its losses; a module, so that DDP can wrap it.

    Args:
        network: what is trained.
        reader: reads expressions off faces; trained here too, on the true frames alone.
        backend: rasteriser.
        compile: compile the encoder and the losses.
    """

    dialect: Tensor

    def __init__(self, network: Network, reader: Reader, backend: Backend, compile: bool) -> None:
        super().__init__()
        self.network = network
        self.reader = reader
        self.backend: Backend = backend
        self.register_buffer("dialect", torch.from_numpy(load_dialect().offset), persistent=False)
        self._compare = losses.compare
        if compile:
            network.encoder.compile(dynamic=False)
            self._compare = torch.compile(losses.compare, dynamic=False)

    def forward(
        self, batch: Batch, grid: int, precision: torch.dtype, judged: bool = False
    ) -> tuple[dict[str, Tensor], Views]:
        """Loss terms (unweighted scalars), and what was drawn for them.

        Args:
            batch: sources and targets.
            grid: side of the avatars' grid of Gaussians.
            precision: of the networks.
            judged: draw turned views too, for the adversary.
        """
        network, device = self.network, batch.source.device
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            source_latent = network.motion(batch.source_landmarks)
            driving = network.motion(batch.driver_landmarks)
            plain = network.motion(batch.target_landmarks)
            seen = network.motion_image(batch.driver_image)
            avatar = network.encode(
                batch.source, batch.source_alpha, batch.source_camera, source_latent, grid
            )
            twice = avatar.map(lambda part: torch.cat([part, part]))
            gaussians, delta = network.animate(twice, driving)
        side = batch.target.shape[-1]
        rendered = splat(gaussians, batch.target_camera, (side, side), backend=self.backend)
        picture = rendered.image * batch.known
        terms = self._compare(
            picture,
            rendered.alpha,
            batch.target,
            batch.target_alpha,
            batch.known,
            regions=batch.regions(),
        )
        terms |= self._read(batch, picture, precision)
        terms |= self._strangers(batch, avatar, plain, precision)
        terms["relief"] = losses.relief(
            rendered.depth, batch.target_camera, batch.target_landmarks - self.dialect
        )
        terms["residual"] = delta.float().pow(2).mean()
        latent = plain.detach().float()
        error = (seen.float() - latent).pow(2).mean()
        terms["image_motion"] = error / latent.var(0, correction=0).mean().clamp_min(1e-2)
        away = self._turned(batch, avatar, plain, precision) if judged else picture[:0]
        return terms, Views(picture, away)

    def _read(self, batch: Batch, picture: Tensor, precision: torch.dtype) -> dict[str, Tensor]:
        """The reader's own error on true views, and what it sees differ in the renders."""
        reader, camera, landmarks = self.reader, batch.target_camera, batch.target_landmarks
        with torch.autocast(picture.device.type, precision, enabled=precision != torch.float32):
            truth, true_features = reader(face_crop(batch.target, camera, landmarks))
            said, features = self.reader.judge(face_crop(picture, camera, landmarks))
        labels = reader.truth(landmarks, self.network.motion, camera)
        # Between two targets of one avatar, whatever is always wrong with its face cancels.
        change, true_change = (after - before for before, after in (said.chunk(2), truth.chunk(2)))
        return {
            "reader": reader.error(truth, labels),
            "reading": reader.error(said, truth.detach()),
            "change": reader.error(change, true_change.detach()),
            "reader_features": losses.feature_distance(true_features, features),
        }

    def _strangers(
        self, batch: Batch, avatar: Avatar, latents: Tensor, precision: torch.dtype
    ) -> dict[str, Tensor]:
        """What moves between two frames of a driver must move as far on somebody else, from any
        side, and that somebody must look as turned as the view is.

        Nobody knows how the stranger would have looked, but a change needs no knowledge of the
        face it starts from. Half of the avatars are driven by both targets of the other half.
        """
        count = len(batch.source)
        half = max(1, count // 2)
        drivers = torch.arange(count - half, count, device=latents.device)
        camera = turned(batch.source_camera[:half])
        near = face_camera(camera, batch.source_landmarks[:half])
        pairs = torch.cat([drivers, count + drivers])
        with torch.autocast(latents.device.type, precision, enabled=precision != torch.float32):
            strangers = avatar.map(lambda part: torch.cat([part[:half], part[:half]]))
            gaussians, _ = self.network.animate(strangers, latents[pairs])
        twice = near.map(lambda part: torch.cat([part, part]))
        picture = splat(gaussians, twice, (SIDE, SIDE), backend=self.backend).image
        with torch.autocast(latents.device.type, precision, enabled=precision != torch.float32):
            said, _ = self.reader.judge(picture)
        labels = self.reader.truth(batch.target_landmarks[pairs], self.network.motion, twice)
        first, second = said.float().chunk(2)
        before, after = labels.chunk(2)
        return {
            "stranger": self.reader.error(second - first, after - before),
            "turned": F.smooth_l1_loss(said.float()[:, -2:], view(twice)),
        }

    def _turned(
        self, batch: Batch, avatar: Avatar, latents: Tensor, precision: torch.dtype
    ) -> Tensor:
        """(U, 3, V, V) avatars as nobody saw them: from any side, making somebody else's face.

        An eighth of them, people who never move first (see `PairSampler`): of those no true
        picture says how they look when they are turned. Each is drawn as targets are, once whole
        and once through a window on the face: whoever compares whole heads with windows that skin
        fills to the border asks for skin all round the head.
        """
        count, side = len(batch.source), batch.target.shape[-1]
        few = max(1, count // 8)
        with torch.autocast(latents.device.type, precision, enabled=precision != torch.float32):
            gaussians, _ = self.network.animate(
                avatar.map(lambda part: part[:few]), latents[count - few : count]
            )
        whole = turned(batch.source_camera[:few])
        face = face_centre(whole, batch.source_landmarks[:few])
        window = whole.zoomed(face, max(1.0, batch.source.shape[-1] / side))
        camera = Camera(
            torch.cat([whole.world_from_cam, window.world_from_cam]),
            torch.cat([whole.intrinsics, window.intrinsics]),
        )
        twice = gaussians.map(lambda part: torch.cat([part, part]))
        return splat(twice, camera, (side, side), backend=self.backend).image


WEIGHTS = {
    "l1": 1.0,
    "ssim": 0.3,
    "alpha": 0.2,
    "residual": 1e-3,
    "image_motion": 0.05,
    "reader": 0.3,
    "reading": 0.3,
    "reader_features": 0.05,
    "change": 0.15,
    "stranger": 0.1,
    "turned": 0.03,
    "relief": 0.1,
    **adversary.WEIGHTS,
}
"""Weights of the loss terms; docs/training.md says why."""

READ_OFF_RENDERS = ("reading", "reader_features", "change", "stranger", "turned")
"""Terms that wait until the reader can read."""
