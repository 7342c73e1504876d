"""Inputs from a seed, the same in every process, and the expected result of a few rows from the definition.

Elements of bf16 are held as uint16, their bits: NumPy has no such type, and each framework has a way to take bits.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from .cases import WINDOW, Case

Array = np.ndarray[Any, Any]

#: Random numbers are drawn once and repeated with this period, a prime: gigabytes of keys would take longer to draw than to read.
PERIOD = 4_194_301
NUMPY_TYPES = {"f64": np.float64, "f32": np.float32, "f16": np.float16, "bf16": np.uint16}
#: Largest error allowed, relative to its row's largest magnitude: far from what semantics asks, near enough to tell a wrong answer.
TOLERANCE = {"f64": 1e-10, "f32": 1e-4, "f16": 2e-3, "bf16": 4e-2}


def to_bf16(values: Array) -> Array:
    """Bits of bf16, rounded to nearest, ties to even; finite float32 in.

    >>> [hex(x) for x in to_bf16(np.array([1.0, -2.0, 1.00390625, 1.01171875], np.float32))]
    ['0x3f80', '0xc000', '0x3f80', '0x3f82']
    """
    bits = values.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def to_f64(values: Array) -> Array:
    """The values, of whatever type of `NUMPY_TYPES`, in float64."""
    if values.dtype == np.uint16:
        return (values.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    return values.astype(np.float64)


def aligned(shape: tuple[int, ...], dtype: Any) -> Array:
    """Memory that begins with a cache line, as every framework's does and NumPy's, 16 bytes behind one, does not.

    >>> aligned((3, 5), np.uint16).ctypes.data % 64
    0
    """
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.empty(size + 63, np.uint8)
    first = -memory.ctypes.data % 64
    return memory[first : first + size].view(dtype).reshape(shape)


def inputs(case: Case, seed: int = 0) -> tuple[Array, Array, Array]:
    """q, k, v as (batch, heads, length, head dim), contiguous and aligned."""
    generator = np.random.default_rng(seed)

    def make(heads: int, length: int) -> Array:
        shape = (case.batch, heads, length, case.head_dim)
        count = int(np.prod(shape))
        values = generator.standard_normal(min(count, PERIOD), dtype=np.float32)
        drawn = to_bf16(values) if case.dtype == "bf16" else values.astype(NUMPY_TYPES[case.dtype], copy=False)
        array = aligned(shape, drawn.dtype)
        flat = array.reshape(-1)
        for first in range(0, count, PERIOD):
            flat[first : first + PERIOD] = drawn[: count - first]
        return array

    return make(case.heads, case.queries), make(case.key_heads, case.keys), make(case.key_heads, case.keys)


def checksum(arrays: tuple[Array, ...]) -> int:
    """Differs where two processes drew different numbers; of the first elements alone."""
    total = 0
    for array in arrays:
        total = zlib.crc32(np.ascontiguousarray(array.reshape(-1)[:65536]).tobytes(), total)
    return total


def sample(case: Case) -> list[tuple[int, int, int]]:
    """(batch, head, query) of the rows that are checked: the first, the last, and some between."""
    count = 4 if case.key_bytes > 1 << 26 else 10
    last = (case.batch - 1, case.heads - 1, case.queries - 1)
    between = [
        (i * 7 % case.batch, i * 5 % case.heads, (i * 977 + case.queries // 2) % case.queries) for i in range(count - 2)
    ]
    return [(0, 0, 0), last, *between]


def expected_row(case: Case, arrays: tuple[Array, Array, Array], at: tuple[int, int, int]) -> Array:
    """One row of the result in float64, from the definition: no tiles, no recurrence."""
    q, k, v = arrays
    batch, head, query = at
    first = max(0, query - WINDOW + 1) if case.mask == "window" else 0
    last = case.keys if case.mask == "full" else min(case.keys, query + 1)
    key_head = head // (case.heads // case.key_heads)
    keys, values = to_f64(k[batch, key_head, first:last]), to_f64(v[batch, key_head, first:last])
    scores = keys @ to_f64(q[batch, head, query]) / np.sqrt(case.head_dim)
    weights = np.exp(scores - scores.max())
    return weights @ values / weights.sum()


def relative_error(actual: list[Array], expected: list[Array]) -> float:
    """Of rows: the largest difference over the row's largest magnitude; inf where a NaN is."""
    worst = 0.0
    for got, want in zip(actual, expected):
        if got.shape != want.shape or not np.isfinite(got).all():
            return float("inf")
        worst = max(worst, float(np.abs(got - want).max() / np.abs(want).max()))
    return worst
