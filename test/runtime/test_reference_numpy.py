"""The float64 reference against a dense NumPy evaluation of the same definition, through the C ABI.

Random problems over element types, strides, grouped heads, head dims, scale, softcap, bias, ALiBi, sinks and the masks.
"""

from __future__ import annotations

import ctypes
import os
from ctypes import CFUNCTYPE, POINTER, Structure, byref, c_double, c_int32, c_int64, c_uint32, c_void_p

import numpy as np
import pytest

DTYPES = {"float64": 0, "float32": 1, "float16": 2, "int64": 4, "int32": 5, "int8": 6, "bool": 7}
CAUSAL, WINDOW, KEY_LENGTHS, KEY_PADDING, PREFIX_LM, SEGMENTS, BOOLEAN, ADDITIVE = range(8)
ScoreMod = CFUNCTYPE(c_double, c_void_p, c_double, c_int64, c_int64, c_int64, c_int64)
MaskMod = CFUNCTYPE(c_int32, c_void_p, c_int64, c_int64, c_int64, c_int64)


class Tensor(Structure):
    _fields_ = [
        ("data", c_void_p),
        ("dtype", c_int32),
        ("rank", c_int32),
        ("size", c_int64 * 8),
        ("stride", c_int64 * 8),
    ]


class Clause(Structure):
    _fields_ = [
        ("kind", c_int32),
        ("alignment", c_int32),
        ("left", c_int64),
        ("right", c_int64),
        ("tensor", POINTER(Tensor)),
        ("key_tensor", POINTER(Tensor)),
    ]


class Problem(Structure):
    _fields_ = [
        ("abi_version", c_uint32),
        ("num_masks", c_uint32),
        ("q", Tensor),
        ("k", Tensor),
        ("v", Tensor),
        ("scale", POINTER(c_double)),
        ("softcap", c_double),
        ("bias", POINTER(Tensor)),
        ("alibi", POINTER(Tensor)),
        ("alibi_alignment", c_int32),
        ("reserved", c_int32),
        ("sinks", POINTER(Tensor)),
        ("masks", POINTER(Clause)),
        ("score_mod", ScoreMod),
        ("score_user", c_void_p),
        ("mask_mod", MaskMod),
        ("mask_user", c_void_p),
        ("out", c_void_p),
        ("lse", c_void_p),
        ("host", c_void_p),
    ]


@pytest.fixture(scope="module")
def runtime() -> ctypes.CDLL:
    library = ctypes.CDLL(os.environ["FLASHC_RUNTIME_LIBRARY"])
    library.flashc_last_error.restype = ctypes.c_char_p
    library.flashc_default_host.restype = c_void_p
    return library


def tensor(array: np.ndarray) -> Tensor:
    t = Tensor(array.ctypes.data, DTYPES[array.dtype.name], array.ndim)
    for d, (size, stride) in enumerate(zip(array.shape, array.strides, strict=True)):
        t.size[d], t.stride[d] = size, stride // array.itemsize
    return t


def view(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Random values behind random strides: permuted dimensions, gaps, a reversed dimension."""
    order = rng.permutation(len(shape))
    gaps = rng.integers(1, 3, len(shape))
    base = rng.standard_normal([shape[d] * gaps[d] for d in order]).astype(dtype)
    array = base.transpose(np.argsort(order))[tuple(slice(None, None, int(g)) for g in gaps)]
    return np.flip(array, int(rng.integers(len(shape)))) if rng.random() < 0.3 else array


def broadcast_shape(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape with some dimensions 1 and perhaps the leading ones left out."""
    kept = tuple(1 if rng.random() < 0.4 else n for n in shape)
    return kept[int(rng.integers(0, len(shape))) :]


class Dense:
    """One random problem, and its result by whole matrices."""

    def __init__(self, seed: int, exotic: bool) -> None:
        rng = self.rng = np.random.default_rng(seed)
        self.keep: list[object] = []  # what the C structs point into
        self.b, self.hkv = int(rng.integers(1, 4)), int(rng.integers(1, 4))
        self.h = self.hkv * int(rng.integers(1, 4))
        self.sq, self.sk = int(rng.integers(0, 150)), int(rng.integers(0, 150))
        d, dv = int(rng.integers(1, 70)), int(rng.integers(1, 70))
        dtype = str(rng.choice(["float64", "float32", "float16"]))
        self.q = view(rng, (self.b, self.h, self.sq, d), dtype)
        self.k = view(rng, (self.b, self.hkv, self.sk, d), dtype)
        self.v = view(rng, (self.b, self.hkv, self.sk, dv), dtype)
        self.problem = Problem(abi_version=1, q=tensor(self.q), k=tensor(self.k), v=tensor(self.v))
        scale = 1 / np.sqrt(d)
        if rng.random() < 0.5:
            scale = float(rng.uniform(0.01, 1))
            self.problem.scale = self.pointer(c_double(scale))
        group = self.h // self.hkv
        k64 = np.repeat(self.k.astype(np.float64), group, axis=1)
        self.v64 = np.repeat(self.v.astype(np.float64), group, axis=1)
        self.score = scale * np.einsum("bhid,bhjd->bhij", self.q.astype(np.float64), k64)
        self.attended = np.ones_like(self.score, dtype=bool)
        self.index = np.meshgrid(*(np.arange(n) for n in self.score.shape), indexing="ij", sparse=True)
        self.extra = np.full(self.h, -np.inf)
        self.clauses: list[Clause] = []
        if exotic:
            self.callbacks()
        self.options()
        for kind in rng.permutation(8)[: int(rng.integers(0, 4))]:
            self.mask(int(kind))
        self.problem.num_masks = len(self.clauses)
        self.problem.masks = (Clause * len(self.clauses))(*self.clauses)

    def pointer(self, value: object) -> object:
        self.keep.append(value)
        return ctypes.pointer(value)

    def pointer_to(self, array: np.ndarray) -> object:
        self.keep.append(array)
        return self.pointer(tensor(array))

    def diagonal(self, alignment: int) -> np.ndarray:
        return self.index[2] + (self.sk - self.sq if alignment else 0)

    def callbacks(self) -> None:
        b, h, i, j = self.index
        self.problem.score_mod = ScoreMod(lambda _, s, b, h, i, j: s * 0.5 + 0.01 * (i - j) + 0.1 * h - b)
        self.problem.mask_mod = MaskMod(lambda _, b, h, i, j: (b + h + i * j) % 3 != 0)
        self.score = self.score * 0.5 + 0.01 * (i - j) + 0.1 * h - b
        self.attended &= (b + h + i * j) % 3 != 0

    def options(self) -> None:
        rng, shape = self.rng, self.score.shape
        if rng.random() < 0.3:
            self.problem.softcap = cap = float(rng.uniform(0.5, 5))
            self.score = cap * np.tanh(self.score / cap)
        if rng.random() < 0.4:
            bias = view(rng, broadcast_shape(rng, shape), "float32")
            self.problem.bias = self.pointer_to(bias)
            self.score = self.score + bias.astype(np.float64)
        if rng.random() < 0.3:
            slopes = rng.uniform(0, 1, (self.b, self.h) if rng.random() < 0.5 else (self.h,))
            self.problem.alibi = self.pointer_to(slopes)
            self.problem.alibi_alignment = alignment = int(rng.integers(2))
            self.score = self.score - slopes[..., None, None] * np.abs(self.diagonal(alignment) - self.index[3])
        if rng.random() < 0.3:
            self.extra = rng.standard_normal(self.h)
            self.problem.sinks = self.pointer_to(self.extra)

    def mask(self, kind: int) -> None:
        rng, j = self.rng, self.index[3]
        alignment = int(rng.integers(2))
        diagonal = self.diagonal(alignment)
        clause = Clause(kind, alignment, -1, -1)
        if kind == CAUSAL:
            self.attended &= j <= diagonal
        elif kind == WINDOW:
            clause.left, clause.right = int(rng.integers(-1, 60)), int(rng.integers(-1, 60))
            if clause.left >= 0:
                self.attended &= j >= diagonal - clause.left
            if clause.right >= 0:
                self.attended &= j <= diagonal + clause.right
        elif kind in (KEY_LENGTHS, PREFIX_LM):
            lengths = rng.integers(0, self.sk + 1, self.b).astype(rng.choice(["int32", "int64"]))
            clause.tensor = self.pointer_to(lengths)
            inside = j < lengths[:, None, None, None]
            self.attended &= inside if kind == KEY_LENGTHS else inside | (j <= diagonal)
        elif kind == KEY_PADDING:
            padding = rng.random((self.b, self.sk)) < 0.8
            clause.tensor = self.pointer_to(padding)
            self.attended &= padding[:, None, None, :]
        elif kind == SEGMENTS:
            queries = np.sort(rng.integers(0, 5, (self.b, self.sq)), axis=1).astype("int32")
            keys = np.sort(rng.integers(0, 5, (self.b, self.sk)), axis=1).astype("int32")
            clause.tensor, clause.key_tensor = self.pointer_to(queries), self.pointer_to(keys)
            self.attended &= queries[:, None, :, None] == keys[:, None, None, :]
        elif kind == BOOLEAN:
            mask = view(rng, broadcast_shape(rng, self.score.shape), "float32") < 1
            clause.tensor = self.pointer_to(mask)
            self.attended &= mask
        else:
            added = view(rng, broadcast_shape(rng, self.score.shape), "float64").copy()
            added[added > 1.5] = -np.inf
            clause.tensor = self.pointer_to(added)
            self.score = self.score + added
        self.clauses.append(clause)

    def expected(self) -> tuple[np.ndarray, np.ndarray]:
        score = np.where(self.attended, self.score, -np.inf)
        extra = np.broadcast_to(self.extra[None, :, None], score.shape[:3])
        top = np.maximum(score.max(axis=-1, initial=-np.inf), extra)
        safe = np.where(np.isfinite(top), top, 0)
        weights = np.exp(score - safe[..., None])
        denominator = weights.sum(axis=-1) + np.exp(extra - safe)
        with np.errstate(divide="ignore"):
            lse = safe + np.log(denominator)
        weights = weights / np.where(denominator > 0, denominator, 1)[..., None]
        return np.einsum("bhij,bhjd->bhid", weights, self.v64), lse

    def actual(self, runtime: ctypes.CDLL, host: int | None) -> tuple[np.ndarray, np.ndarray]:
        out = np.full((self.b, self.h, self.sq, self.v.shape[3]), np.nan)
        lse = np.full((self.b, self.h, self.sq), np.nan)
        self.problem.out, self.problem.lse, self.problem.host = out.ctypes.data, lse.ctypes.data, host
        status = runtime.flashc_reference_attention(byref(self.problem))
        assert status == 0, runtime.flashc_last_error().decode()
        return out, lse


@pytest.mark.parametrize("seed", range(60))
def test_random_problems(runtime: ctypes.CDLL, seed: int) -> None:
    dense = Dense(seed, exotic=seed % 10 == 9)
    out, lse = dense.actual(runtime, runtime.flashc_default_host())
    expected_out, expected_lse = dense.expected()
    np.testing.assert_allclose(lse, expected_lse, rtol=0, atol=1e-12)
    scale = np.abs(expected_out).max(axis=-1, keepdims=True, initial=1e-3)
    assert np.all(np.abs(out - expected_out) <= 1e-12 * scale)


def test_same_bits_without_a_host(runtime: ctypes.CDLL) -> None:
    dense = Dense(7, exotic=False)
    for a, b in zip(dense.actual(runtime, None), dense.actual(runtime, runtime.flashc_default_host()), strict=True):
        np.testing.assert_array_equal(a, b)
