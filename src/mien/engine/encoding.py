"""Encoding many photos fast on a GPU: the encoder as one CUDA graph, recorded once.

    quick, weights = recorded(network), avatar_weights(network)
    avatars = [pipeline.encode(quick, photo, grid, weights=weights) for photo in photos]

Recording takes longer than encoding one photo, so who encodes a single one does without.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from mien.model.network import Network
from mien.structures import TensorRecord


@torch.no_grad()
def recorded(network: Network) -> Network:
    """A copy of a network that encodes photos one by one, each shape's first one slowly.

    Encoder weights lie channels last, and products take the tensor cores' float32 (TF32) in linear
    layers too, as torch lets convolutions do anyway; nothing is of half precision, for Φ says
    positions outright in the `paper` preset. Not for several threads at once.

    Args:
        network: in eval mode; if it is not on a GPU, it is returned as it is.
    """
    if next(network.parameters()).device.type != "cuda":
        return network
    quick = copy.deepcopy(network)
    quick.encoder = _Recorded(quick.encoder)  # pyright: ignore[reportAttributeAccessIssue]
    return quick


class _Recorded(nn.Module):
    """A module whose forward pass is replayed; what it returned before is overwritten."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self._inputs: tuple[Tensor | TensorRecord, ...] = ()

    def forward(self, *inputs: Tensor | TensorRecord) -> Tensor | tuple[Tensor, ...]:
        """What the module returns for inputs of any shapes."""
        if [t.shape for t in _tensors(*inputs)] != [t.shape for t in _tensors(*self._inputs)]:
            self._record(*inputs)
        for slot, value in zip(_tensors(*self._inputs), _tensors(*inputs), strict=True):
            slot.copy_(value)
        self._graph.replay()
        return self._outputs

    def _record(self, *inputs: Tensor | TensorRecord) -> None:
        self._inputs = tuple(
            value.clone() if isinstance(value, Tensor) else value.map(torch.clone)
            for value in inputs
        )
        precision = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("high")
        try:
            aside = torch.cuda.Stream()
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                self.module(*self._inputs)  # once before: libraries are loaded, plans made
            torch.cuda.current_stream().wait_stream(aside)
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._outputs = self.module(*self._inputs)
        finally:
            torch.set_float32_matmul_precision(precision)


def _tensors(*values: Tensor | TensorRecord) -> Iterator[Tensor]:
    """The tensors among arguments, in their order."""
    for value in values:
        yield from (value,) if isinstance(value, Tensor) else vars(value).values()
