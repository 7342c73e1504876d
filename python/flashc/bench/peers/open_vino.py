"""OpenVINO's ScaledDotProductAttention on the CPU, in the arrays' own precision, latency mode."""

from __future__ import annotations

from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from ..cases import WINDOW, Case
from ..problem import Array
from . import Prepared, UnsupportedError, rows_bhsd

TYPES = {"f32": ov.Type.f32, "bf16": ov.Type.bf16, "f16": ov.Type.f16}


def repeated(node: Any, case: Case) -> Any:
    """Keys or values for every query head, as exporters of models with grouped heads write it."""
    groups = case.heads // case.key_heads
    if groups == 1:
        return node
    outer = [case.batch, case.key_heads, groups, case.keys, case.head_dim]
    spread = ops.broadcast(ops.unsqueeze(node, ops.constant(2)), ops.constant(outer), "BIDIRECTIONAL")
    return ops.reshape(spread, ops.constant([case.batch, case.heads, case.keys, case.head_dim]), False)


class Peer:
    def __init__(self, threads: int) -> None:
        self.core = ov.Core()
        self.threads = threads

    def versions(self) -> dict[str, str]:
        return {"openvino": ov.__version__.partition("-")[0]}

    def prepare(self, case: Case, q: Array, k: Array, v: Array) -> Prepared:
        if case.dtype not in TYPES:
            raise UnsupportedError(f"no {case.dtype} on the CPU")
        kind = TYPES[case.dtype]
        parameters = [ops.parameter(list(x.shape), kind) for x in (q, k, v)]
        nodes = [parameters[0], repeated(parameters[1], case), repeated(parameters[2], case)]
        if case.mask == "window":
            allowed = np.tril(np.triu(np.ones((case.queries, case.keys), bool), 1 - WINDOW))
            nodes.append(ops.constant(allowed))
        attention = ops.scaled_dot_product_attention(*nodes, causal=case.mask == "causal")
        model = ov.Model([ops.result(attention)], parameters)
        settings = {
            # Left to itself it computes f16 in bf16, and is as wrong as that.
            "INFERENCE_PRECISION_HINT": ov.Type.bf16 if case.dtype == "bf16" else ov.Type.f32,
            "INFERENCE_NUM_THREADS": self.threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
        }
        compiled = self.core.compile_model(model, "CPU", settings)
        request = compiled.create_infer_request()
        tensors = [
            ov.Tensor(x, x.shape, kind) if case.dtype == "bf16" else ov.Tensor(x, shared_memory=True) for x in (q, k, v)
        ]
        for index, tensor in enumerate(tensors):
            request.set_input_tensor(index, tensor)
        held = (q, k, v, tensors, compiled)  # the request reads their memory and does not keep them

        def call() -> Any:
            request.infer()
            return request if held else None

        def to_numpy(done: Any) -> Array:
            output = done.get_output_tensor(0)
            if output.element_type == ov.Type.bf16:
                return np.frombuffer(output.data.tobytes(), np.uint16).reshape(tuple(output.shape))
            return np.asarray(output.data)

        return Prepared(call, rows_bhsd(to_numpy))
