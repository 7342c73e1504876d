"""Attention on arrays, and kernels compiled ahead of their calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import _flashc
from .interop import dtype_name
from .kernel import Kernel
from .masks import Mask, as_mask
from .trace import trace

Mod = Callable[..., Any]


def attention(
    q: Any,
    k: Any,
    v: Any,
    *,
    mask: Mask | str | None = None,
    scale: float | None = None,
    softcap: float | None = None,
    bias: Any = None,
    score_mod: Mod | None = None,
    mask_mod: Mod | None = None,
    layout: str = "bhsd",
    return_lse: bool = False,
    tf32: bool = False,
    target: str = "host",
    tiles: tuple[int, ...] | None = None,
    out: Any = None,
    stream: Any = None,
) -> Any:
    """softmax(scale q k^T, masked) v, in memory that grows with the lengths and not with their product.

    q is (batch, heads, queries, D), k (batch, key heads, keys, D) and v (batch, key heads, keys, Dv), with any strides and from
    any framework with DLPack; the result is of q's kind. With layout "bshd" heads and lengths change places, in the result
    too. The number of heads is a multiple of the number of key heads.

    The score of a query and a key is, in this order: scale * dot (1/sqrt(D) by default); score_mod(s, b, h, i, j);
    softcap * tanh(s / softcap); plus the bias, which broadcasts to (batch, heads, queries, keys). A row with nothing to attend
    to gives zeros, and -inf for lse.

    With return_lse it returns (out, lse), lse being (batch, heads, queries), the natural logarithm of the softmax's
    denominator in float32 (float64 for float64). `out` may be an array to write to; it must not overlap the inputs. `tiles` is
    (queries, keys) of a tile, or (queries, keys, split) with the keys of a task with few rows; by default they are what was
    tuned for such sizes (see `flashc.tuning`), else what the compiler chooses.

    float32 is exact unless `tf32` asks for both products on a matrix unit that rounds their operands to tf32, 11 bits of significand,
    and accumulates in float32. NVIDIA's GPUs have one; elements of other types, and other targets, are refused.

    Arrays in a GPU's memory are read there, on the caller's current stream and without waiting, and `target` is by default the best
    one for that GPU. With target="emulated:sm_80" arrays of the CPU run on an emulated one, exactly and slowly.
    `stream` - a handle as an integer, or a stream of PyTorch, CuPy or anything with ``__cuda_stream__`` - is used instead of
    the current one: the kernel waits for the streams that its arrays are of, and nobody waits for the kernel.

    Kernels are compiled when a new head dim, element type, mask text, scale, score function, tf32 or target is met, never for a new
    batch, length, number of heads or stride; sizes that were tuned have a version of their own.

    >>> import numpy as np, flashc
    >>> q = k = v = np.ones((1, 2, 3, 8), np.float32)
    >>> flashc.attention(q, k, v, mask=flashc.causal("top_left")).shape
    (1, 2, 3, 8)
    """
    mask_text, arrays = "", ()
    if mask is not None:
        if mask.__class__ is not Mask:
            mask = as_mask(mask)
        if mask is not None:
            mask.check_arrays()
            mask_text, arrays = mask.text, mask.arrays
    score = ""
    if score_mod is not None or mask_mod is not None:
        score = trace(score_mod, mask_mod, _flashc.inspect(q, "q")[0])
    return _flashc.attend(
        q, k, v, mask_text, arrays, scale, softcap, bias, score, layout, return_lse, tf32, target, tiles, out, stream
    )


def compile(
    *,
    head_dim: int,
    dtype: object = "f32",
    value_head_dim: int | None = None,
    mask: Mask | str | None = None,
    scale: float | None = None,
    softcap: float | None = None,
    bias: object = None,
    score_mod: Mod | None = None,
    mask_mod: Mod | None = None,
    layout: str = "bhsd",
    return_lse: bool = False,
    tf32: bool = False,
    target: str = "host",
    tiles: tuple[int, ...] | None = None,
    name: str = "attention",
) -> Kernel:
    """A kernel for everything static of an attention; batch, lengths, heads and strides stay free.

    `bias` is the element type of the additive bias, if there is one. Masks that read arrays are given without them,
    ``flashc.key_lengths()``; the kernel takes them as further operands, in the order of the mask's text. The other options are those
    of `flashc.attention`.

    >>> import numpy as np, flashc
    >>> kernel = flashc.compile(head_dim=8, dtype="f32", mask=flashc.causal("bottom_right"))
    >>> q = k = v = np.ones((1, 2, 3, 8), np.float32)
    >>> kernel(q, k, v).shape
    (1, 2, 3, 8)
    """
    element = dtype_name(dtype)
    resolved = as_mask(mask)
    return Kernel(
        _flashc.compile(
            head_dim=head_dim,
            value_head_dim=head_dim if value_head_dim is None else value_head_dim,
            dtype=element,
            mask=resolved.text if resolved else "",
            mask_dtypes=list(resolved.dtypes) if resolved else [],
            scale=scale,
            softcap=softcap,
            bias=None if bias is None else dtype_name(bias, "bias"),
            score=trace(score_mod, mask_mod, element),
            layout=layout,
            return_lse=return_lse,
            tf32=tf32,
            target=target,
            tiles=tiles,
            name=name,
        )
    )


def compile_count() -> int:
    """How many kernels this process has compiled or taken from the cache on disk.

    >>> import numpy as np, flashc
    >>> x = np.ones((1, 1, 5, 16), np.float32)
    >>> _ = flashc.attention(x, x, x)
    >>> before = flashc.compile_count()
    >>> y = np.ones((2, 3, 7, 16), np.float32)
    >>> _ = flashc.attention(y, y, y)
    >>> flashc.compile_count() - before
    0
    """
    compiled, from_disk = _flashc.compile_counts()
    return compiled + from_disk


def cache_info() -> dict[str, int]:
    """Kernels compiled by this process, taken from the cache on disk, and held in memory."""
    compiled, from_disk = _flashc.compile_counts()
    return {"compiled": compiled, "from_disk": from_disk, "in_memory": _flashc.kernels_in_memory()}


def clear_cache() -> None:
    """Forgets the kernels held in memory; those on disk stay."""
    _flashc.clear_kernels()
