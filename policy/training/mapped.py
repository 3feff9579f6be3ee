"""Weights that are only read now and then, kept in a file that the system maps into memory."""

from __future__ import annotations

import mmap
import tempfile
from pathlib import Path
from typing import IO

import torch
from torch import Tensor, nn

ALIGNMENT = 64
"""Bytes: as torch aligns what it allocates, so that kernels take the same path."""


class MappedWeights:
    """The parameters of a module on the CPU, moved into a file: between readings they need no memory.

    Bit for bit the same numbers. The file has no name, so nothing is left of it however the process ends. On a disk the
    system keeps it in what memory is to spare; on a tmpfs nothing is gained.

    Raises:
        OSError: the folder has no room for it; the module is as it was.
    """

    def __init__(self, module: nn.Module, folder: Path) -> None:
        parameters = [p for p in module.parameters() if p.numel()]
        with tempfile.TemporaryFile(dir=folder) as file:
            places = [_append(file, parameter) for parameter in parameters]
            file.flush()
            # Private, so that nothing can change the file; of read-only memory torch makes no tensors.
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) if parameters else None
        for parameter, place in zip(parameters, places, strict=True):
            flat = torch.frombuffer(self._map, dtype=parameter.dtype, count=parameter.numel(), offset=place)
            parameter.requires_grad_(False).data = flat.view(parameter.shape)

    def let_go(self) -> None:
        """Have the system take back the memory; the next reading finds the weights in the file."""
        if self._map is not None:
            self._map.madvise(mmap.MADV_DONTNEED)


def _append(file: IO[bytes], tensor: Tensor) -> int:
    """The place in the file at which the tensor now is."""
    place = -(-file.tell() // ALIGNMENT) * ALIGNMENT
    file.seek(place)
    file.write(tensor.detach().contiguous().flatten().view(torch.uint8).numpy().data)
    return place
