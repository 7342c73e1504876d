"""ONNX Runtime's fused operators: MultiHeadAttention, and GroupQueryAttention where heads are grouped or the mask is causal.

The arrays lie as the operators want them (batch, length, heads x head dim), inputs and outputs are bound ahead.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper

from ..cases import WINDOW, Case
from ..problem import Array
from . import Prepared, UnsupportedError, rows_bshd

TYPES = {"f32": TensorProto.FLOAT, "f16": TensorProto.FLOAT16}


def packed(array: Array) -> Array:
    """(batch, length, heads x head dim)"""
    batch, heads, length, dim = array.shape
    return np.ascontiguousarray(array.transpose(0, 2, 1, 3)).reshape(batch, length, heads * dim)


def value(name: str, kind: int) -> Any:
    return helper.make_tensor_value_info(name, kind, None)


class Peer:
    def __init__(self, threads: int) -> None:
        self.threads = threads
        ort.set_default_logger_severity(3)

    def versions(self) -> dict[str, str]:
        return {"onnxruntime": ort.__version__}

    def prepare(self, case: Case, q: Array, k: Array, v: Array) -> Prepared:
        if case.dtype not in TYPES:
            raise UnsupportedError(f"no {case.dtype} attention on the CPU")
        if case.mask == "full" and case.heads == case.key_heads:
            return self.multi_head(case, q, k, v)
        if case.mask != "full" or case.queries == 1:
            return self.grouped(case, q, k, v)
        raise UnsupportedError("grouped heads are always causal")

    def session(self, node: Any, inputs: dict[str, Array], outputs: list[str], kind: int) -> Any:
        feeds = [value(name, helper.np_dtype_to_tensor_dtype(array.dtype)) for name, array in inputs.items()]
        graph = helper.make_graph([node], "attention", feeds, [value(name, kind) for name in outputs])
        opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
        options = ort.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.add_session_config_entry("session.force_spinning_stop", "1")  # idle threads leave the cores to others
        try:
            return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise UnsupportedError(str(error).strip().splitlines()[0]) from error

    def bound(self, session: Any, inputs: dict[str, Array], outputs: dict[str, Any], case: Case) -> Prepared:
        binding = session.io_binding()
        held = {name: ort.OrtValue.ortvalue_from_numpy(array) for name, array in inputs.items()}
        for name, operand in held.items():
            binding.bind_ortvalue_input(name, operand)
        out = ort.OrtValue.ortvalue_from_numpy(
            np.empty((case.batch, case.queries, case.heads * case.head_dim), q_type(case))
        )
        binding.bind_ortvalue_output("out", out)
        for name, source in outputs.items():
            binding.bind_ortvalue_output(name, held[source] if source else out)
        run = session.run_with_iobinding

        def call() -> Any:
            run(binding)
            return out

        def to_numpy(result: Any) -> Array:
            return result.numpy().reshape(case.batch, case.queries, case.heads, case.head_dim)

        return Prepared(call, rows_bshd(to_numpy))

    def multi_head(self, case: Case, q: Array, k: Array, v: Array) -> Prepared:
        # Keys and values of few queries stay (batch, heads, length, head dim): read in place, as out of a cache.
        decoding = case.kind == "decode"
        inputs = {"q": packed(q), "k": k if decoding else packed(k), "v": v if decoding else packed(v)}
        node = helper.make_node(
            "MultiHeadAttention", list(inputs), ["out"], domain="com.microsoft", num_heads=case.heads
        )
        return self.bound(self.session(node, inputs, ["out"], TYPES[case.dtype]), inputs, {}, case)

    def grouped(self, case: Case, q: Array, k: Array, v: Array) -> Prepared:
        # Decoding: all keys but the last are in the cache, which is read and extended in place, by what is there already.
        decoding = case.kind == "decode"
        new = slice(-case.queries, None) if decoding else slice(None)
        cache = (case.batch, case.key_heads, case.keys, case.head_dim)
        inputs = {
            "q": packed(q),
            "k": packed(k[:, :, new]),
            "v": packed(v[:, :, new]),
            "past_k": k if decoding else np.zeros(cache, k.dtype),
            "past_v": v if decoding else np.zeros(cache, v.dtype),
            "last": np.full(case.batch, case.keys - 1, np.int32),
            "total": np.array(case.keys, np.int32),
        }
        attributes: dict[str, int] = {"num_heads": case.heads, "kv_num_heads": case.key_heads}
        if case.mask == "window":
            attributes["local_window_size"] = WINDOW
        outputs = ["out", "present_k", "present_v"]
        node = helper.make_node("GroupQueryAttention", list(inputs), outputs, domain="com.microsoft", **attributes)
        session = self.session(node, inputs, outputs, TYPES[case.dtype])
        return self.bound(session, inputs, {"present_k": "past_k", "present_v": "past_v"}, case)


def q_type(case: Case) -> type:
    return {"f32": np.float32, "f16": np.float16}[case.dtype]
