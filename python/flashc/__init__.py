"""flashc: a compiler for attention.

>>> import numpy as np, flashc
>>> q = k = v = np.random.default_rng(0).standard_normal((1, 2, 16, 8), np.float32)
>>> out = flashc.attention(q, k, v, mask=flashc.causal("top_left"))
>>> expected, _ = flashc.reference(q, k, v, mask=flashc.causal("top_left"))
>>> bool(abs(out - expected).max() < 1e-5)
True
"""

from . import tuning
from ._flashc import get_num_threads, set_num_threads
from .attention import attention, cache_info, clear_cache, compile, compile_count
from .doctor import devices, doctor
from .fallbacks import FallbackWarning, fallbacks
from .kernel import Kernel, load, stages
from .masks import Mask, causal, key_lengths, key_padding, prefix_lm, segments, tensor, window
from .module import Module, compile_module
from .reference import reference
from .trace import (
    TraceError,
    cos,
    exp,
    exp2,
    floor,
    log,
    log2,
    maximum,
    minimum,
    rsqrt,
    sigmoid,
    sin,
    sqrt,
    tanh,
    where,
)
from .tuning import set_tuning, tune

__version__ = "0.1.0"

__all__ = [
    "FallbackWarning",
    "Kernel",
    "Mask",
    "Module",
    "TraceError",
    "attention",
    "cache_info",
    "causal",
    "clear_cache",
    "compile",
    "compile_count",
    "compile_module",
    "cos",
    "devices",
    "doctor",
    "exp",
    "exp2",
    "fallbacks",
    "floor",
    "get_num_threads",
    "key_lengths",
    "key_padding",
    "load",
    "log",
    "log2",
    "maximum",
    "minimum",
    "prefix_lm",
    "reference",
    "rsqrt",
    "segments",
    "set_num_threads",
    "set_tuning",
    "sigmoid",
    "sin",
    "sqrt",
    "stages",
    "tanh",
    "tensor",
    "tune",
    "tuning",
    "where",
    "window",
]
