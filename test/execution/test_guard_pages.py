"""Generated code touches nothing outside its operands: each lies against a page without permissions, on either side.

A touch ends the process, so the calls are made in one of their own, which says what it is about to call.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent / "support"))

from guarded import place
from oracle import DTYPES

import flashc

HEAD_DIMS = (1, 7, 24, 59, 64, 80, 111, 128)
LENGTHS = ((1, 1), (1, 130), (3, 17), (5, 64), (17, 63), (33, 65), (70, 129))
LAYOUTS = ("plain", "padded", "turned", "negative")
OPTIONS = ("lse", "causal", "window", "key_lengths", "key_padding", "segments", "tensor", "bias", "score_mod")


def draw(rng, dtype, *shape):
    return rng.standard_normal(shape).astype(DTYPES[dtype])


def with_option(name, rng, Sq, Sk, side):
    """The arguments that a call gets on top of q, k and v, their arrays guarded."""
    if name == "lse":
        return {"return_lse": True}
    if name == "causal":
        return {"mask": flashc.causal("bottom_right")}
    if name == "window":
        return {"mask": flashc.window(5, 3, "top_left")}
    if name == "score_mod":
        return {"score_mod": lambda s, b, h, i, j: flashc.tanh(s) - 0.01 * abs(i - j)}
    if name == "bias":
        return {"bias": place(rng.standard_normal((Sq, Sk)).astype(np.float32), side, "turned")[0]}

    def guarded(values):
        return place(np.asarray(values), side)[0]

    if name == "key_lengths":
        return {"mask": flashc.key_lengths(guarded(np.array([Sk // 2, Sk], np.int32)))}
    if name == "key_padding":
        return {"mask": flashc.key_padding(guarded(rng.random((2, Sk)) < 0.7))}
    if name == "segments":
        ids = [np.sort(rng.integers(0, 3, (2, n)), axis=1).astype(np.int32) for n in (Sq, Sk)]
        return {"mask": flashc.segments(*map(guarded, ids))}
    return {"mask": flashc.tensor(guarded(rng.random((2, 4, Sq, Sk)) < 0.6))}


def probe_call(what, side, layout, inputs, options):
    """One call on guarded memory; its result is that of the same call on ordinary memory, to the bit."""
    print(f"{what} side={side} layout={layout}", flush=True)
    expected = flashc.attention(*inputs, **options)
    expected = expected if isinstance(expected, tuple) else (expected,)
    placed = [place(x, side, layout) for x in inputs]
    for _, memory in placed:
        memory.freeze()
    # An output has a place for each element, whatever lies between them.
    out, out_memory = place(expected[0], side, layout)
    out[...] = np.nan
    result = flashc.attention(*(array for array, _ in placed), out=out, **options)
    result = result if isinstance(result, tuple) else (result,)
    for got, wanted in zip(result, expected):
        np.testing.assert_array_equal(got.astype(np.float64), wanted.astype(np.float64), err_msg=what)
    assert out_memory.spill(out) == 0, f"{what}: written between the elements of the output, or beside them"
    for _, memory in (*placed, (out, out_memory)):
        memory.free()


def probe(dtype, side):
    rng = np.random.default_rng(0)
    flashc.set_num_threads(2)
    for D in HEAD_DIMS:
        for Sq, Sk in LENGTHS:
            inputs = [draw(rng, dtype, 2, 4, Sq, D), draw(rng, dtype, 2, 2, Sk, D), draw(rng, dtype, 2, 2, Sk, D)]
            for layout in LAYOUTS:
                probe_call(f"{dtype} D={D} Sq={Sq} Sk={Sk}", side, layout, inputs, {})
    for name in OPTIONS:
        for Sq, Sk in LENGTHS:
            inputs = [draw(rng, dtype, 2, 4, Sq, 24), draw(rng, dtype, 2, 2, Sk, 24), draw(rng, dtype, 2, 2, Sk, 40)]
            for layout in ("plain", "padded"):
                options = with_option(name, rng, Sq, Sk, side)
                probe_call(f"{name} {dtype} Sq={Sq} Sk={Sk}", side, layout, inputs, options)


@pytest.mark.parametrize("side", ["begin", "end"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_nothing_outside_is_touched(dtype, side):
    done = subprocess.run([sys.executable, __file__, dtype, side], capture_output=True, text=True, check=False)
    last = done.stdout.strip().splitlines()[-1:]
    assert done.returncode == 0, f"after {last}: exit {done.returncode}\n{done.stderr}"
    assert last == ["done"]


@pytest.mark.parametrize("side", ["begin", "end"])
def test_the_guard_guards(side):
    """The means of these tests see what they are to see."""
    touch = "from guarded import Guarded; import ctypes; g = Guarded(100, '{}'); ctypes.{}"
    outside = "string_at(g.address - 1, 1)" if side == "begin" else "string_at(g.address + 100, 1)"
    for action, good in (("string_at(g.address, 100)", True), (outside, False)):
        done = subprocess.run(
            [sys.executable, "-c", touch.format(side, action)], cwd=Path(__file__).parent.parent / "support",
            capture_output=True, check=False,
        )  # fmt: skip
        assert (done.returncode == 0) == good
    array, memory = place(np.ones((3, 5), np.float32), side, "padded")
    assert memory.spill(array) == 0
    assert memory.spill(array[:, 1:]) == 3 * 4
    memory.free()


if __name__ == "__main__":
    probe(*sys.argv[1:])
    print("done")
