"""Real-time animation: avatars prepared once, then a picture a step.

    landmarks or image ─ driver ─► latent ─ fusion, Φ ─► Gaussians ─ splat ─► picture

On a GPU all of it is one CUDA graph: a step copies its input, replays the graph, and waits for
nothing. Elsewhere a step does the same in plain PyTorch with the processor's rasteriser.

Axis legend: B avatars, H W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mien.engine.driver import Driver, latents
from mien.engine.prepare import animate, prepare, prepare_layers
from mien.model.network import Network
from mien.render import splat
from mien.structures import Avatar, Camera, Rendered

ROOM = 1.5
"""Memory for this many times the pairs of splat and tile that have been seen."""


class Session:
    """Avatars ready to be animated together, each by its own motion, seen by its own camera.

    Sessions work on the current CUDA stream, so that several can run beside each other.

    Args:
        network: a preset's, on the device to be used.
        avatars: of that preset.
        camera: how they are seen at first: one camera, or a batch (B,).
        size: side of the pictures in pixels.
        driver: what a step is given; None for latents.

    Raises:
        MienError: there is no avatar, or they are of several presets.
    """

    def __init__(
        self,
        network: Network,
        avatars: Sequence[Avatar],
        camera: Camera,
        size: int,
        driver: Driver | None = None,
    ) -> None:
        self.cast = prepare(avatars, network.fusion, network.decoder)
        exact = self.cast.anchors is None
        self.layers = prepare_layers(network.fusion, network.decoder, exact=exact)
        self.size = size
        self.antialiased = network.config.antialiased
        device, count = self.cast.counts.device, len(avatars)
        still = torch.stack([avatar.source_latent for avatar in avatars]).to(device).float()
        self.driver = driver or latents(still.shape[1])
        self.input = still if driver is None else torch.zeros(count, *driver.shape, device=device)
        self.camera = Camera(
            camera.world_from_cam.to(device).float().expand(count, 4, 4).clone(),
            camera.intrinsics.to(device).float().expand(count, 3, 3).clone(),
        )
        self.capacity = 0
        if device.type == "cuda":
            self._capture(still)

    @torch.no_grad()
    def step(self, motion: Tensor, camera: Camera | None = None) -> Rendered:
        """Pictures (B, …) of the avatars making these motions.

        On a GPU the host waits for nothing, and the next step overwrites the pictures.

        Args:
            motion: (B, *shape) as the driver takes them, on any device; pinned if on the host.
            camera: how the avatars are seen from here on; None leaves it.
        """
        self.input.copy_(motion, non_blocking=True)
        if camera is not None:
            self.camera.world_from_cam.copy_(camera.world_from_cam, non_blocking=True)
            self.camera.intrinsics.copy_(camera.intrinsics, non_blocking=True)
        if self.capacity:
            self._graph.replay()
            return self._picture
        gaussians = animate(self.cast, self.layers, self.driver.encode(self.input))
        size = (self.size, self.size)
        return splat(gaussians, self.camera, size, antialiased=self.antialiased)

    def pairs(self) -> int:
        """How many pairs of splat and tile the last step had; 0 without a GPU. Waits for it."""
        return int(self._needed) if self.capacity else 0

    def refit(self) -> bool:
        """Make room if the last step lacked it and left splats out; tells whether it did.

        Waits for the device: call it now and then, such as once a second. Never needed without a
        GPU.
        """
        if self.capacity == 0 or int(self._needed) <= self.capacity:
            return False
        self._capture(self.driver.encode(self.input))
        return True

    @torch.no_grad()
    def _capture(self, typical: Tensor) -> None:
        """Record a step in a CUDA graph, with room for more than `typical` latents (B, D) need."""
        from mien.engine import motion_kernel
        from mien.render.triton_splat import splat_bounded

        def draw(latents: Tensor) -> tuple[Rendered, Tensor]:
            gaussians = motion_kernel.animate(self.cast, self.layers, latents)
            return splat_bounded(
                gaussians, self.camera, (self.size, self.size), self.capacity,
                antialiased=self.antialiased,
            )  # fmt: skip

        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            self.capacity = 1
            self.capacity = int(ROOM * int(draw(typical)[1])) + 1024
            # Everything runs once before it is recorded: kernels are compiled, libraries loaded.
            draw(self.driver.encode(self.input))
        torch.cuda.current_stream().wait_stream(aside)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._picture, self._needed = draw(self.driver.encode(self.input))
