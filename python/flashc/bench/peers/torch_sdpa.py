"""PyTorch's scaled_dot_product_attention, in inference mode."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ..cases import WINDOW, Case
from ..problem import Array
from . import Prepared, rows_bhsd


def tensor(array: Array) -> torch.Tensor:
    """Shares the array's memory; uint16 stands for bf16."""
    if array.dtype == np.uint16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def to_numpy(result: torch.Tensor) -> Array:
    if result.dtype == torch.bfloat16:
        return result.view(torch.int16).numpy().view(np.uint16)
    return result.numpy()


class Peer:
    def __init__(self, threads: int) -> None:
        torch.set_num_threads(threads)
        torch.autograd.grad_mode.inference_mode(True).__enter__()

    def versions(self) -> dict[str, str]:
        return {"torch": torch.__version__}

    def prepare(self, case: Case, q: Array, k: Array, v: Array) -> Prepared:
        tq, tk, tv = (tensor(x) for x in (q, k, v))
        options: dict[str, Any] = {"is_causal": case.mask == "causal", "enable_gqa": case.heads != case.key_heads}
        if case.mask == "window":  # there is no window but in a mask that holds every pair
            allowed = torch.ones(case.queries, case.keys, dtype=torch.bool).tril().triu(1 - WINDOW)
            options["attn_mask"] = allowed
        sdpa = torch.nn.functional.scaled_dot_product_attention
        return Prepared(lambda: sdpa(tq, tk, tv, **options), rows_bhsd(to_numpy))
