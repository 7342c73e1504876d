"""flashc: a compiled kernel, called on NumPy arrays."""

from __future__ import annotations

import re
from typing import Any

import ml_dtypes
import numpy as np

import flashc

from ..cases import WINDOW, Case
from ..problem import Array, aligned
from . import Prepared, rows_bhsd

#: What a line of assembly has to hold for a way of computing products to be in it.
PRODUCTS = {
    "AMX": re.compile(r"\btdp(bf16|fp16)ps\b"),
    "vdpbf16ps": re.compile(r"\bvdpbf16ps\b"),
    "AVX512-FP16": re.compile(r"\bvfmadd\w+ph\b"),
    "FMA": re.compile(r"\b(vfmadd\w+p[sd]|fmla)\b"),
    "multiply and add": re.compile(r"\b(mulp[sd]|fmul)\b"),
}
REGISTERS = {"AVX-512": "%zmm", "AVX2": "%ymm", "SSE": "%xmm"}


def isa_path(assembly: str) -> str:
    """The instructions that do the kernel's products, told from its assembly.

    >>> isa_path("vdpbf16ps %zmm1, %zmm2, %zmm3\\nvfmadd231ps %zmm1, %zmm2, %zmm3")
    'AVX-512, vdpbf16ps'
    """
    registers = next((name for name, text in REGISTERS.items() if text in assembly), "scalar or NEON")
    counts = {name: len(pattern.findall(assembly)) for name, pattern in PRODUCTS.items()}
    product = next((name for name, count in counts.items() if count), "unknown")
    return f"{registers}, {product}"


class Peer:
    def __init__(self, threads: int) -> None:
        flashc.set_num_threads(threads)
        #: Seconds to tune each case for before it is measured, as the driver asks.
        self.tune = 0.0

    def versions(self) -> dict[str, str]:
        return {"flashc": flashc.__version__, "compiler": flashc.doctor(print_report=False)["compiler"]}

    def prepare(self, case: Case, q: Array, k: Array, v: Array) -> Prepared:
        causal = flashc.causal("top_left")
        mask = {"full": None, "causal": causal, "window": causal & flashc.window(WINDOW - 1, 0)}[case.mask]
        kernel = flashc.compile(head_dim=case.head_dim, dtype=case.dtype, mask=mask)
        shape = (case.batch, case.heads, case.key_heads, case.queries, case.keys)
        if self.tune > 0:
            kernel.tune(shapes=shape, budget=self.tune)
        facts = self.facts(kernel, shape)
        if case.dtype == "bf16":
            q, k, v = (x.view(ml_dtypes.bfloat16) for x in (q, k, v))
        out = aligned(q.shape, q.dtype)
        call = kernel.call

        def to_numpy(result: Any) -> Array:
            array = np.asarray(result)
            return array.view(np.uint16) if case.dtype == "bf16" else array

        if case.kind == "tiny":  # the cost of a call: as a user writes it
            return Prepared(lambda: call(q, k, v), rows_bhsd(to_numpy), facts)
        return Prepared(lambda: call(q, k, v, out=out), rows_bhsd(to_numpy), facts)

    def facts(self, kernel: flashc.Kernel, shape: tuple[int, ...]) -> dict[str, Any]:
        info = kernel.info
        tiles, source = flashc.tuning.tiles(kernel, shape)
        return {
            "instruction_sets": info.get("instruction_sets", []),
            "isa_path": isa_path(kernel.asm()),
            "tiles": list(tiles),
            "tiles_from": source,
        }
