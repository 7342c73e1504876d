"""jax.nn.dot_product_attention, jitted, in its own layout (batch, length, heads, head dim)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np

from ..cases import WINDOW, Case
from ..problem import Array
from . import Prepared, rows_bshd


def to_numpy(result: jax.Array) -> Array:
    array = np.asarray(result)
    return array.view(np.uint16) if array.dtype == ml_dtypes.bfloat16 else array


class Peer:
    def __init__(self, threads: int) -> None:
        jax.config.update("jax_enable_x64", True)

    def versions(self) -> dict[str, str]:
        return {"jax": jax.__version__}

    def prepare(self, case: Case, q: Array, k: Array, v: Array) -> Prepared:
        if case.dtype == "bf16":
            q, k, v = (x.view(ml_dtypes.bfloat16) for x in (q, k, v))
        jq, jk, jv = (jnp.asarray(np.ascontiguousarray(x.transpose(0, 2, 1, 3))) for x in (q, k, v))
        window = (WINDOW - 1, 0) if case.mask == "window" else None

        def attend(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
            return jax.nn.dot_product_attention(q, k, v, is_causal=case.mask != "full", local_window_size=window)

        compiled = jax.jit(attend).lower(jq, jk, jv).compile()
        return Prepared(lambda: compiled(jq, jk, jv).block_until_ready(), rows_bshd(to_numpy))
