"""Attention by NumPy in float64: independent of the compiler and of the runtime's reference, to check both.

Scores are formed whole with einsum and masked with arrays, which is how the definition reads; nothing here is online or tiled.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import ml_dtypes
import numpy as np

DTYPES = {"f64": np.float64, "f32": np.float32, "f16": np.float16, "bf16": ml_dtypes.bfloat16}


@dataclass
class MaskTerm:
    """A mask as data: what both flashc and NumPy are told."""

    name: str
    parameters: tuple[Any, ...] = ()
    arrays: tuple[Any, ...] = ()


@dataclass
class Problem:
    """Everything an attention is given, arrays of shape (batch, heads, length, dim)."""

    q: np.ndarray
    k: np.ndarray
    v: np.ndarray
    masks: list[MaskTerm] = field(default_factory=list)
    scale: float | None = None
    softcap: float | None = None
    bias: np.ndarray | None = None
    score_mod: Callable[..., Any] | None = None
    mask_mod: Callable[..., Any] | None = None

    @property
    def scores_shape(self) -> tuple[int, int, int, int]:
        return (*self.q.shape[:3], self.k.shape[2])


def diagonal(alignment: str, queries: int, keys: int) -> np.ndarray:
    """d of each query: where its diagonal crosses the keys."""
    return np.arange(queries) + (keys - queries if alignment == "bottom_right" else 0)


def attended(term: MaskTerm, shape: tuple[int, int, int, int]) -> np.ndarray:
    """The mask as booleans that broadcast to `shape`, (B, Hq, Sq, Sk)."""
    _, _, queries, keys = shape
    j = np.arange(keys)
    if term.name == "causal":
        return j[None, :] <= diagonal(term.parameters[0], queries, keys)[:, None]
    if term.name == "window":
        left, right, alignment = term.parameters
        d = diagonal(alignment, queries, keys)[:, None]
        near = np.ones((queries, keys), bool)
        if left >= 0:
            near &= j >= d - left
        if right >= 0:
            near &= j <= d + right
        return near
    arrays = [np.asarray(array) for array in term.arrays]
    if term.name == "key_lengths":
        return (j[None, :] < arrays[0][:, None])[:, None, None, :]
    if term.name == "key_padding":
        return (arrays[0] != 0)[:, None, None, :]
    if term.name == "prefix_lm":
        causal = j[None, :] <= diagonal(term.parameters[0], queries, keys)[:, None]
        return causal[None, None] | (j[None, :] < arrays[0][:, None])[:, None, None, :]
    if term.name == "segments":
        return (arrays[0][:, :, None] == arrays[1][:, None, :])[:, None]
    assert term.name == "tensor", term.name
    return arrays[0] != 0


def mod_on_arrays(function: Callable[..., Any], *arguments: Any) -> np.ndarray:
    """A scalar function at every position."""
    return np.vectorize(function, otypes=[np.float64])(*arguments)


def scores(problem: Problem, dot: np.ndarray, round_to: Callable[[np.ndarray], np.ndarray] = lambda x: x) -> np.ndarray:
    """Steps 1 to 5 of the definition; -inf where a key is not attended. `round_to` is what storing a tensor does."""
    shape = problem.scores_shape
    scale = 1.0 / np.sqrt(problem.q.shape[3]) if problem.scale is None else problem.scale
    s = round_to(scale * dot)
    grid = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    if problem.score_mod is not None:
        s = round_to(mod_on_arrays(problem.score_mod, s, *grid)) if s.size else s
    unattended = np.isneginf(s) if problem.score_mod is not None else np.zeros(shape, bool)
    if problem.softcap is not None:
        s = round_to(problem.softcap * np.tanh(s / problem.softcap))
    if problem.bias is not None:
        s = round_to(s + problem.bias.astype(np.float64))
    keep = ~unattended
    for term in problem.masks:
        keep = keep & attended(term, shape)
    if problem.mask_mod is not None and s.size:
        keep = keep & (mod_on_arrays(problem.mask_mod, *grid) != 0)
    return np.where(keep, s, -np.inf)


def softmax(s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(p, lse) over the last dimension; rows without a finite score give zeros and -inf."""
    if s.shape[-1] == 0:
        return s, np.full(s.shape[:-1], -np.inf)
    top = s.max(axis=-1, keepdims=True)
    safe = np.where(np.isneginf(top), 0.0, top)
    e = np.exp(s - safe)
    total = e.sum(axis=-1, keepdims=True)
    p = np.divide(e, total, out=np.zeros_like(e), where=total != 0)
    with np.errstate(divide="ignore"):
        lse = np.log(total) + safe
    return p, lse[..., 0]


def repeat_heads(x: np.ndarray, heads: int) -> np.ndarray:
    """Key heads at their query heads."""
    if x.shape[1] == heads or heads == 0:
        return x[:, :heads] if heads == 0 else x
    return np.repeat(x, heads // x.shape[1], axis=1)


def weighted_sum(p: np.ndarray, v: np.ndarray) -> np.ndarray:
    """sum_j p_j v_j where an unattended value, whatever it is, adds nothing."""
    if np.isfinite(v).all():
        return np.einsum("bhij,bhjd->bhid", p, v)
    out = np.zeros((*p.shape[:3], v.shape[3]))
    for j in range(p.shape[3]):
        weight = p[:, :, :, j, None]
        out += np.where(weight == 0, 0.0, weight * np.where(weight == 0, 0.0, v[:, :, None, j, :]))
    return out


def attention(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """(out, lse) in float64."""
    heads = problem.q.shape[1]
    q = problem.q.astype(np.float64)
    k = repeat_heads(problem.k.astype(np.float64), heads)
    v = repeat_heads(problem.v.astype(np.float64), heads)
    with np.errstate(invalid="ignore"):
        s = scores(problem, np.einsum("bhid,bhjd->bhij", q, k))
    p, lse = softmax(s)
    return weighted_sum(p, v), lse


def standard(problem: Problem, dtype: str) -> np.ndarray:
    """The standard, unfused computation in a low precision: float32 arithmetic, and every tensor that is stored - the scores
    after each step, the probabilities, the output - rounded to the precision."""
    element = DTYPES[dtype]

    def stored(x: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            return np.asarray(x, np.float32).astype(element).astype(np.float32)

    heads = problem.q.shape[1]
    q = problem.q.astype(np.float32)
    k = repeat_heads(problem.k.astype(np.float32), heads)
    v = repeat_heads(problem.v.astype(np.float32), heads)
    s = scores(problem, np.einsum("bhid,bhjd->bhij", q, k), stored)
    p, _ = softmax(s.astype(np.float32))
    return stored(weighted_sum(stored(p), v))


def tf32(x: np.ndarray) -> np.ndarray:
    """float32 rounded to 11 bits of significand, ties away from zero."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    finite = (bits & 0x7F800000) != 0x7F800000
    return np.where(finite, (bits + np.uint32(0x1000)) & np.uint32(0xFFFFE000), bits).astype(np.uint32).view(np.float32)


def standard_tf32(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """(out, lse) of the standard computation in float32 whose two products round what they multiply to tf32."""
    heads = problem.q.shape[1]
    k, v = (repeat_heads(tf32(x), heads) for x in (problem.k, problem.v))
    s = scores(problem, np.einsum("bhid,bhjd->bhij", tf32(problem.q), k), lambda x: np.asarray(x, np.float32))
    p, lse = softmax(s.astype(np.float32))
    return weighted_sum(tf32(p), v).astype(np.float32), lse
