"""PyTorch's flex_attention under torch.compile; block masks are built ahead and not timed."""

from __future__ import annotations

import torch
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

from ..cases import WINDOW, Case
from ..problem import Array
from . import Prepared, UnsupportedError, rows_bhsd
from .torch_sdpa import tensor, to_numpy

MODS = {
    "causal": lambda b, h, i, j: i >= j,
    "window": lambda b, h, i, j: (i >= j) & (i - j < WINDOW),
}


class Peer:
    def __init__(self, threads: int) -> None:
        torch.set_num_threads(threads)
        torch.autograd.grad_mode.no_grad().__enter__()
        torch._dynamo.config.recompile_limit = 1000

    def versions(self) -> dict[str, str]:
        return {"torch": torch.__version__}

    def prepare(self, case: Case, q: Array, k: Array, v: Array) -> Prepared:
        torch._dynamo.reset()
        tq, tk, tv = (tensor(x) for x in (q, k, v))
        block_mask = None
        if case.mask in MODS:
            block_mask = create_block_mask(MODS[case.mask], None, None, case.queries, case.keys, device="cpu")
        compiled = torch.compile(flex_attention, dynamic=False)
        gqa = case.heads != case.key_heads

        def call() -> torch.Tensor:
            return compiled(tq, tk, tv, block_mask=block_mask, enable_gqa=gqa)

        try:
            call()
        except Exception as error:  # whatever the compiler throws: it has no kernel for this
            raise UnsupportedError(
                f"torch.compile: {type(error).__name__}: {str(error).strip().splitlines()[0]}"
            ) from error
        return Prepared(call, rows_bhsd(to_numpy))
