"""Modules on the emulated devices: attention that is raised from a graph or written as an operation, with static lengths."""

from pathlib import Path

import numpy as np
import pytest
from cases import Case, build, judge
from conftest import DEEP

import flashc

CHIPS = ("sm_80", "sm_90a", "gfx90a", "gfx942", "gfx1100")
GRAPH = (Path(__file__).parents[1] / "targets" / "Inputs" / "attention-graph.mlir").read_text()
#: Around tiles of keys, fewer and many query rows.
LENGTHS = ((40, 72), (130, 64), (3, 128), (1, 1100), (200, 97))


def operation(shapes: list[tuple], dtype: str, attributes: str = "") -> str:
    q, k, v, out = (f"tensor<{'x'.join(map(str, shape))}x{dtype}>" for shape in shapes)
    return f"""
    func.func @main(%q: {q}, %k: {k}, %v: {v}) -> {out} {{
      %o = tensor.empty() : {out}
      %r = attn.sdpa ins(%q, %k, %v : {q}, {k}, {v}) outs(%o : {out}) {attributes} -> {out}
      return %r : {out}
    }}
    """


def check(case: Case, attributes: str = "") -> None:
    inputs = build(case)
    q, k, v = (np.ascontiguousarray(x) for x in inputs.arrays)
    text = operation([q.shape, k.shape, v.shape, (*q.shape[:3], case.value_dim)], case.dtype, attributes)
    out = flashc.compile_module(text, target=case.target).main(q, k, v)
    judge(case, inputs.problem, out, None)


@pytest.mark.parametrize("dtype", ("f32", "bf16"))
@pytest.mark.parametrize("chip", CHIPS)
def test_static_lengths(chip, dtype):
    """What is known of every turn of a loop over keys must not reach the turn behind the last."""
    chosen = LENGTHS if DEEP else LENGTHS[CHIPS.index(chip) % 2 :: 2]
    for Sq, Sk in chosen:
        check(Case(dtype=dtype, B=2, Hq=4, Hkv=2, Sq=Sq, Sk=Sk, D=64, lse=False, target=f"emulated:{chip}"))


@pytest.mark.parametrize("chip", CHIPS)
def test_static_lengths_under_a_mask(chip):
    case = Case(dtype="bf16", Sq=130, Sk=192, D=64, masks=("causal_br",), lse=False, target=f"emulated:{chip}")
    check(case, "masks [#attn.causal<bottom_right>]")


@pytest.mark.parametrize("tf32", (False, True), ids=("exact", "tf32"))
@pytest.mark.parametrize("chip", CHIPS)
def test_raised_graphs(chip, tf32):
    """A result in the graph's own shape is written where the caller wants it: nothing copies it on the way."""
    if tf32 and chip.startswith("gfx"):
        with pytest.raises(ValueError, match="need a matrix unit mma or wgmma"):
            flashc.compile_module(GRAPH, target=f"emulated:{chip}", tf32=True).function("main")
        return
    case = Case(B=4, Hq=1, Hkv=1, Sq=40, Sk=72, D=64, lse=False, tf32=tf32, target=f"emulated:{chip}")
    inputs = build(case)
    module = flashc.compile_module(GRAPH, target=case.target, tf32=tf32)
    out = module.main(*(np.ascontiguousarray(x[:, 0]) for x in inputs.arrays))
    judge(case, inputs.problem, out[:, None], None)
    assert module.function("main").info.get("tf32", False) is tf32


def test_tf32_is_of_float32():
    text = GRAPH.replace("f32", "f64")
    with pytest.raises(
        ValueError, match="expected attention of f32 elements in a module whose products are to be in tf32"
    ):
        flashc.compile_module(text, target="emulated:sm_80", tf32=True).function("main")


def test_a_graph_that_does_more_is_refused():
    """Loops beside attention would run on the host, with the device's memory."""
    text = GRAPH.replace("return %r : tensor<4x40x64xf32>", """
      %twice = linalg.add ins(%r, %r : tensor<4x40x64xf32>, tensor<4x40x64xf32>) outs(%f : tensor<4x40x64xf32>)
          -> tensor<4x40x64xf32>
      return %twice : tensor<4x40x64xf32>""")  # fmt: skip
    assert "%twice" in text
    with pytest.raises(ValueError, match="reads or writes the device's memory on the host"):
        flashc.compile_module(text, target="emulated:sm_80").function("main")
