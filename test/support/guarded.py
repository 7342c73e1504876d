"""Arrays whose memory ends, or begins, at a page that nobody may touch."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Sequence
from typing import Any

import numpy as np

PAGE = mmap.PAGESIZE

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
_libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]

_NONE, _READ, _WRITE = 0, 1, 2  # PROT_*; mmap.PROT_NONE is newer than the oldest Python here
_PRIVATE_ANONYMOUS = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS


class Guarded:
    """`size` bytes between two pages without any permission: up to the second one ("end"), or from the first one on
    ("begin"). Touching a byte outside on that side ends the process; the other side has up to a page of slack."""

    def __init__(self, size: int, side: str) -> None:
        self.size = size
        self.inner = max(PAGE, -(-size // PAGE) * PAGE)
        self.base = _libc.mmap(None, self.inner + 2 * PAGE, _NONE, _PRIVATE_ANONYMOUS, -1, 0)
        if self.base in (None, ctypes.c_void_p(-1).value):
            raise OSError(ctypes.get_errno(), "mmap")
        self._protect(_READ | _WRITE)
        first = self.base + PAGE
        self.address = first if side == "begin" else first + self.inner - size
        # What surrounds the array on the open side is a NaN of every type and a huge index, so that a read of it shows.
        ctypes.memset(first, 0xFF, self.inner)

    def _protect(self, permission: int) -> None:
        if _libc.mprotect(self.base + PAGE, self.inner, permission):
            raise OSError(ctypes.get_errno(), "mprotect")

    def freeze(self) -> None:
        """From now on a write ends the process."""
        self._protect(_READ)

    def free(self) -> None:
        _libc.munmap(self.base, self.inner + 2 * PAGE)

    def spill(self, array: np.ndarray) -> int:
        """How many readable bytes that are no element of `array` were written: they are 0xFF until then."""
        first = self.base + PAGE
        content = np.frombuffer(ctypes.string_at(first, self.inner), np.uint8)
        kept = np.ones(self.inner, bool)
        begin = array.__array_interface__["data"][0] - first
        for offset in range(array.itemsize if array.size else 0):
            np.lib.stride_tricks.as_strided(kept[begin + offset :], array.shape, array.strides)[...] = False
        return int(np.count_nonzero(kept & (content != 0xFF)))

    def array(self, dtype: Any, shape: Sequence[int], strides: Sequence[int] | None = None) -> np.ndarray:
        """The memory as an array; `strides` in bytes."""
        memory = (ctypes.c_char * self.size).from_address(self.address)
        flat = np.frombuffer(memory, np.uint8, self.size).view(dtype)
        if strides is None:
            return flat.reshape(shape)
        low = sum((n - 1) * s for n, s in zip(shape, strides) if s < 0)
        return np.lib.stride_tricks.as_strided(flat[-low // flat.itemsize :], shape, strides)


def place(values: np.ndarray, side: str, layout: str = "plain") -> tuple[np.ndarray, Guarded]:
    """A copy of `values` in guarded memory that ends with its last element and begins with its first.

    Layouts: plain; padded, rows that are longer than they say but for the last one; turned, the last two dimensions
    swapped in memory; negative, every stride the other way round.
    """
    shape, item = values.shape, values.dtype.itemsize
    order = list(range(values.ndim))
    if layout == "turned" and values.ndim >= 2:
        order[-1], order[-2] = order[-2], order[-1]
    strides = [0] * values.ndim
    step = item
    for position, d in enumerate(reversed(order)):
        strides[d] = step
        step *= max(shape[d], 1)
        if layout == "padded" and position == 0:
            step += 3 * item
    if layout == "negative":
        strides = [-s for s in strides]
    size = sum((n - 1) * abs(s) for n, s in zip(shape, strides)) + item if values.size else item
    memory = Guarded(size, side)
    array = memory.array(values.dtype, shape, strides)
    if values.size:
        array[...] = values
    return array, memory
