"""Cases of the execution tests: how they are drawn, made into arrays of any stride, run, and judged."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
from assembly import check_code, find_ptxas
from conftest import DEEP
from oracle import DTYPES, MaskTerm, Problem, attention, standard, standard_tf32

import flashc

HEAD_DIMS = (1, 8, 24, 40, 59, 64, 80, 88, 96, 111, 128, 160, 192, 224, 256)
LENGTHS = (0, 1, 17, 97, 113, 128, 200, 384, 768, 1023, 1025, 2048)
MASK_NAMES = (
    "causal_tl", "causal_br", "window", "window_left", "window_right", "window_one", "key_lengths", "key_lengths64",
    "key_padding", "key_padding8", "prefix_lm", "prefix_lm_br", "segments", "segments64", "tensor", "tensor_row",
)  # fmt: skip
STRIDES = ("plain", "bshd", "transposed", "fused", "padded", "negative", "broadcast")


def mask_terms(names: tuple[str, ...], shape: tuple[int, int, int, int], rng: np.random.Generator) -> list[MaskTerm]:
    """Masks by name, their arrays drawn for scores of `shape`."""
    B, H, Sq, Sk = shape

    def lengths(dtype: type) -> np.ndarray:
        drawn = rng.integers(0, Sk + 1, B).astype(dtype)
        if B:
            drawn[0] = Sk // 2
        return drawn

    def sorted_ids(count: int, dtype: type) -> np.ndarray:
        # Packed documents: ids rise along the sequence.
        return np.sort(rng.integers(0, 4, (B, count)), axis=1).astype(dtype)

    make = {
        "causal_tl": lambda: MaskTerm("causal", ("top_left",)),
        "causal_br": lambda: MaskTerm("causal", ("bottom_right",)),
        "window": lambda: MaskTerm("window", (3, 2, "bottom_right")),
        "window_left": lambda: MaskTerm("window", (70, -1, "top_left")),
        "window_right": lambda: MaskTerm("window", (-1, 40, "bottom_right")),
        "window_one": lambda: MaskTerm("window", (0, 0, "top_left")),
        "key_lengths": lambda: MaskTerm("key_lengths", (), (lengths(np.int32),)),
        "key_lengths64": lambda: MaskTerm("key_lengths", (), (lengths(np.int64),)),
        "key_padding": lambda: MaskTerm("key_padding", (), (rng.random((B, Sk)) < 0.7,)),
        "key_padding8": lambda: MaskTerm("key_padding", (), ((rng.random((B, Sk)) < 0.7).astype(np.int8) * 3,)),
        "prefix_lm": lambda: MaskTerm("prefix_lm", ("top_left",), (lengths(np.int32),)),
        "prefix_lm_br": lambda: MaskTerm("prefix_lm", ("bottom_right",), (lengths(np.int64),)),
        "segments": lambda: MaskTerm("segments", (), (sorted_ids(Sq, np.int32), sorted_ids(Sk, np.int32))),
        "segments64": lambda: MaskTerm("segments", (), (sorted_ids(Sq, np.int64), sorted_ids(Sk, np.int64))),
        "tensor": lambda: MaskTerm("tensor", (), (rng.random((B, H, Sq, Sk)) < 0.6,)),
        "tensor_row": lambda: MaskTerm("tensor", (), ((rng.random((1, 1, Sq, Sk)) < 0.6).astype(np.int8),)),
    }
    terms = [make[name]() for name in names]
    # Masks of one attention share one diagonal; others contradict each other and are refused.
    stated = [term.parameters[-1] for term in terms if term.parameters]
    for term in terms:
        if term.parameters:
            term.parameters = (*term.parameters[:-1], stated[0])
    return terms


def flashc_mask(terms: list[MaskTerm]) -> flashc.Mask | None:
    """The same masks as flashc's objects."""
    result = None
    for term in terms:
        if term.name == "causal":
            one = flashc.causal(*term.parameters)
        elif term.name == "window":
            one = flashc.window(*term.parameters)
        elif term.name == "prefix_lm":
            one = flashc.prefix_lm(*term.arrays, *term.parameters)
        else:
            one = getattr(flashc, term.name)(*term.arrays)
        result = one if result is None else result & one
    return result


SCORE_MODS = {
    "alibi": lambda s, b, h, i, j: s - flashc.exp2(-1.0 * (h + 1)) * abs(i - j),
    "tanh": lambda s, b, h, i, j: 4.0 * flashc.tanh(s / 4.0) + 0.01 * flashc.minimum(i, j),
    "where": lambda s, b, h, i, j: flashc.where((i + j) % 3 == b % 2, s * 0.5, s + 0.25),
    "functions": lambda s, b, h, i, j: (
        flashc.sin(s) + flashc.cos(0.1 * i) + flashc.log2(2.0 + j) + flashc.sqrt(abs(s)) + flashc.floor(s / 2)
    ),
    "powers": lambda s, b, h, i, j: s**3 * 0.1 + flashc.rsqrt(1.0 + abs(s)) + flashc.sigmoid(s) + (1.0 + j) ** 0.3,
    "integers": lambda s, b, h, i, j: s + 0.1 * ((i - j) % 5) - 0.05 * ((i - j) // 7) + 0.3 * (j == b + h),
    "minus_inf": lambda s, b, h, i, j: flashc.where(j % 5 == 2, -float("inf"), s),
}
MASK_MODS = {
    "stripes": lambda b, h, i, j: (i - j) % 4 != h % 4,
    "near_or_first": lambda b, h, i, j: (abs(i - j) < 9) | (j < 3),
}


@dataclass(frozen=True)
class Case:
    """One call. Everything that Hypothesis shrinks."""

    dtype: str = "f32"
    D: int = 64
    Dv: int | None = None
    B: int = 1
    Hq: int = 2
    Hkv: int = 2
    Sq: int = 128
    Sk: int = 128
    masks: tuple[str, ...] = ()
    bias: tuple[bool, bool, bool, bool] | None = None  # which dimensions are broadcast
    bias_dtype: str | None = None
    scale: float | None = None
    softcap: float | None = None
    score_mod: str | None = None
    mask_mod: str | None = None
    strides: str = "plain"
    lse: bool = True
    tf32: bool = False
    target: str = "host"
    seed: int = 0

    @property
    def value_dim(self) -> int:
        return self.D if self.Dv is None else self.Dv

    @property
    def work(self) -> int:
        return self.B * self.Hq * self.Sq * self.Sk * (self.D + self.value_dim)


@dataclass
class Inputs:
    """A problem, and the arrays the call is given: the same values, laid out as the case says."""

    problem: Problem
    arrays: tuple[np.ndarray, np.ndarray, np.ndarray]
    layout: str = "bhsd"
    options: dict[str, Any] = field(default_factory=dict)


def lay_out(x: np.ndarray, strides: str, rng: np.random.Generator) -> np.ndarray:
    """An array of the same values whose memory is as `strides` says."""
    B, H, S, D = x.shape
    if strides == "transposed":
        return np.ascontiguousarray(x.transpose(0, 1, 3, 2)).transpose(0, 1, 3, 2)
    if strides == "fused":
        memory = np.zeros((B, S, 3, H, D), x.dtype)
        view = memory[:, :, rng.integers(3)].transpose(0, 2, 1, 3)
        view[...] = x
        return view
    if strides == "padded":
        memory = np.zeros((B, H + 1, S + 3, 2 * D + 5), x.dtype)
        view = memory[:, 1:, 2 : S + 2, 3 : 2 * D + 3 : 2]
        view[...] = x
        return view
    if strides == "negative":
        return np.ascontiguousarray(x[:, ::-1, ::-1, ::-1])[:, ::-1, ::-1, ::-1]
    return x


def build(case: Case) -> Inputs:
    """Draws the arrays of a case. Values are normal; where a row of v has fewer than 8 elements they lie in [0.5, 1.5], as a sum that
    cancels has no relative error to speak of."""
    rng = np.random.default_rng(case.seed)
    element = DTYPES[case.dtype]

    def draw(heads: int, length: int, dim: int, positive: bool = False) -> np.ndarray:
        shape = (case.B, heads, length, dim)
        if case.strides == "broadcast":
            shape = (1, heads, length, dim)
        x = rng.uniform(0.5, 1.5, shape) if positive else rng.standard_normal(shape)
        return np.broadcast_to(x.astype(element), (case.B, heads, length, dim))

    q = draw(case.Hq, case.Sq, case.D)
    k = draw(case.Hkv, case.Sk, case.D)
    v = draw(case.Hkv, case.Sk, case.value_dim, case.value_dim < 8)
    problem = Problem(q, k, v, scale=case.scale, softcap=case.softcap)
    problem.masks = mask_terms(case.masks, problem.scores_shape, rng)
    if case.bias is not None:
        shape = tuple(1 if flat else size for flat, size in zip(case.bias, problem.scores_shape))
        bias_dtype = case.bias_dtype or case.dtype
        problem.bias = rng.standard_normal(shape).astype(DTYPES[bias_dtype])
    problem.score_mod = SCORE_MODS[case.score_mod] if case.score_mod else None
    problem.mask_mod = MASK_MODS[case.mask_mod] if case.mask_mod else None
    if case.strides == "bshd":
        arrays = tuple(np.ascontiguousarray(x.transpose(0, 2, 1, 3)) for x in (q, k, v))
        return Inputs(problem, arrays, "bshd")
    if case.strides == "broadcast":
        return Inputs(problem, (q, k, v))
    return Inputs(problem, tuple(lay_out(np.ascontiguousarray(x), case.strides, rng) for x in (q, k, v)))


def call(case: Case, inputs: Inputs) -> tuple[np.ndarray, np.ndarray | None]:
    """flashc.attention on a case; out in (batch, heads, length, dim)."""
    p = inputs.problem
    result = flashc.attention(
        *inputs.arrays, mask=flashc_mask(p.masks), scale=p.scale, softcap=p.softcap, bias=p.bias, score_mod=p.score_mod,
        mask_mod=p.mask_mod, layout=inputs.layout, return_lse=case.lse, tf32=case.tf32, target=case.target,
    )  # fmt: skip
    out, lse = result if case.lse else (result, None)
    assert out.dtype == DTYPES[case.dtype]
    if inputs.layout == "bshd":
        out = out.transpose(0, 2, 1, 3)
    return out, lse


def judge(case: Case, problem: Problem, out: np.ndarray, lse: np.ndarray | None) -> None:
    """The tolerances of the definition, to the letter."""
    expected, expected_lse = attention(problem)
    assert out.shape == expected.shape
    assert not (np.isnan(out) & ~np.isnan(expected)).any(), f"NaN where the reference has none: {case}"
    error = np.abs(out.astype(np.float64) - expected)
    lse_error = 0.0
    if case.tf32:
        base_out, base_lse = (x.astype(np.float64) for x in standard_tf32(problem))
        base = np.abs(base_out - expected).max(initial=0)
        attends = ~np.isneginf(expected_lse)
        lse_error = np.abs(base_lse[attends] - expected_lse[attends]).max(initial=0)
        worst = error.max(initial=0)
        assert worst <= 2 * base, f"error {worst:.3g}, of the standard computation {base:.3g}: {case}"
    elif case.dtype in ("f64", "f32"):
        bound = {"f64": 1e-12, "f32": 1e-5}[case.dtype]
        row = np.abs(expected).max(axis=-1, keepdims=True, initial=0)
        worst = np.max(error - bound * row, initial=0)
        assert worst <= 0, f"error {error.max():.3g} where rows allow {bound:g} of their largest: {case}"
    else:
        base = np.abs(standard(problem, case.dtype).astype(np.float64) - expected).max(initial=0)
        worst = error.max(initial=0)
        assert worst <= 2 * base, f"error {worst:.3g}, of the standard computation {base:.3g}: {case}"
    empty = np.isneginf(expected_lse)
    assert (out[empty] == 0).all(), f"a row with nothing to attend is not 0: {case}"
    if lse is not None:
        assert lse.dtype == (np.float64 if case.dtype == "f64" else np.float32)
        assert (np.isneginf(lse) == empty).all(), f"lse of rows with nothing to attend is not -inf: {case}"
        bound = 1e-12 if case.dtype == "f64" else 1e-5
        difference = np.abs(lse[~empty] - expected_lse[~empty])
        limit = np.maximum(bound * np.maximum(1, np.abs(expected_lse[~empty])), 2 * lse_error)
        assert (difference <= limit).all(), f"lse differs by {difference.max():.3g}: {case}"


@cache
def assemble(case: Case) -> None:
    """Asserts that a GPU's kernel is taken by the assembler of its chip as it should be: `check_code`."""
    p = build(case).problem
    kernel = flashc.compile(
        head_dim=case.D, value_head_dim=case.value_dim, dtype=case.dtype, mask=flashc_mask(p.masks), scale=p.scale,
        softcap=p.softcap, bias=None if p.bias is None else p.bias.dtype, score_mod=p.score_mod, mask_mod=p.mask_mod,
        return_lse=case.lse, tf32=case.tf32, target=case.target,
    )  # fmt: skip
    check_code(kernel.ir("asm").encode(), case.target.removeprefix("emulated:"))


def run(case: Case) -> None:
    inputs = build(case)
    out, lse = call(case, inputs)
    judge(case, inputs.problem, out, lse)
    if DEEP and case.target.startswith("emulated:") and (find_ptxas() or "sm_" not in case.target):
        # One kernel serves all sizes and strides.
        assemble(replace(case, B=1, Hq=1, Hkv=1, Sq=1, Sk=1, strides="plain", seed=0))
