"""Score and mask functions: what they are traced to, on numbers, and what is refused."""

import math

import numpy as np
import pytest

import flashc
from flashc.trace import trace


def body(score_mod=None, mask_mod=None, dtype="f32"):
    return trace(score_mod, mask_mod, dtype).splitlines()


def test_nothing_to_trace():
    assert trace(None, None, "f32") == ""


def test_the_identity():
    assert body(lambda s, b, h, i, j: s) == ["attn.yield %s : f32"]
    assert body(lambda s, b, h, i, j: s, dtype="f64") == ["attn.yield %s : f64"]
    assert body(lambda s, b, h, i, j: s, dtype="bf16") == ["attn.yield %s : f32"]


def test_a_position_becomes_a_float_beside_one():
    assert body(lambda s, b, h, i, j: s + (i - j)) == [
        "%0 = arith.subi %i, %j : index",
        "%1 = arith.index_cast %0 : index to i64",
        "%2 = arith.sitofp %1 : i64 to f32",
        "%3 = arith.addf %s, %2 : f32",
        "attn.yield %3 : f32",
    ]


def test_equal_expressions_are_computed_once():
    lines = body(lambda s, b, h, i, j: flashc.exp(s) + flashc.exp(s))
    assert lines == ["%0 = math.exp %s : f32", "%1 = arith.addf %0, %0 : f32", "attn.yield %1 : f32"]


def test_constants_are_exact():
    assert "%0 = arith.constant 0x3DCCCCCD : f32" in body(lambda s, b, h, i, j: s * 0.1)
    assert "%0 = arith.constant 0x3FB999999999999A : f64" in body(lambda s, b, h, i, j: s * 0.1, dtype="f64")
    assert "%0 = arith.constant 0xFF800000 : f32" in body(lambda s, b, h, i, j: s + -math.inf)


def test_a_mask_becomes_minus_infinity():
    assert body(None, lambda b, h, i, j: i >= j) == [
        "%0 = arith.cmpi sge, %i, %j : index",
        "%1 = arith.constant 0xFF800000 : f32",
        "%2 = arith.select %0, %s, %1 : f32",
        "attn.yield %2 : f32",
    ]


def test_conditions():
    lines = body(None, lambda b, h, i, j: (i > j) & ~(j == 3) | (i < 2) ^ (b != h))
    assert sum("arith.cmpi" in line for line in lines) == 4
    assert any("arith.ori" in line for line in lines)
    assert any("arith.xori" in line for line in lines)


@pytest.mark.parametrize("name", ["exp", "exp2", "log", "log2", "sqrt", "rsqrt", "tanh", "sin", "cos", "floor"])
def test_functions(name):
    function = getattr(flashc, name)
    assert body(lambda s, b, h, i, j: function(s))[0] == f"%0 = math.{name} %s : f32"
    expected = 1 / np.sqrt(1.7) if name == "rsqrt" else getattr(np, name)(1.7)
    assert function(1.7) == pytest.approx(float(expected))


@pytest.mark.parametrize(
    "function, value",
    [
        (lambda s, i, j: flashc.where(i > j, s, 0.0), 0.0),
        (lambda s, i, j: flashc.minimum(s, i) + flashc.maximum(j, 2), 0.5 + 5),
        (lambda s, i, j: abs(i - j) // 2 + (i - j) % 3 + (-s) ** 2, 1 + 1 + 0.25),
        (lambda s, i, j: flashc.sigmoid(s) + 2.0**s, 1 / (1 + math.exp(-0.5)) + 2**0.5),
    ],
)
def test_functions_on_numbers_are_the_functions(function, value):
    assert function(0.5, 3, 5) == pytest.approx(value)
    assert body(lambda s, b, h, i, j: function(s, i, j))[-1].startswith("attn.yield")


def test_closures_and_numpy_scalars_are_constants():
    slope = np.float32(0.25)
    assert "%0 = arith.constant 0x3E800000 : f32" in body(lambda s, b, h, i, j: s * slope)
    assert "%0 = arith.constant 0x3E800000 : f32" in body(lambda s, b, h, i, j: slope * s)


def branching(s, b, h, i, j):
    return s if i > j else -s


@pytest.mark.parametrize(
    "score_mod, message",
    [
        (branching, r"use flashc\.where"),
        (lambda s, b, h, i, j: math.exp(s), r"use flashc\.exp"),
        (lambda s, b, h, i, j: [1.0, 2.0][i], "cannot index a Python object"),
        (lambda s, b, h, i, j: s + np.ones(3), r"expected numbers .*, got ndarray.*bias="),
        (lambda s, b, h, i, j: s + "x", "got str"),
        (lambda s, b, h, i, j: None, "expected the function to return a value, got None"),
        (lambda s, b, h, i, j: s & (i > j), "expected conditions on both sides"),
        (lambda s, b, h, i, j: ~i, "expected a condition after ~"),
        (lambda s, b, h, i, j: s * 1e300, "expected numbers that f32 can hold"),
        (lambda s, b, h, i, j: i + 2**70, "expected integers of 64 bits"),
        (lambda s, b, h, i, j: (-2.0) ** s, "positive number"),
        (lambda s: s, "positional argument"),
        (3, "score_mod: expected a function or None, got int"),
    ],
)
def test_refused(score_mod, message):
    with pytest.raises(TypeError, match=message):
        trace(score_mod, None, "f32")


def test_a_value_kept_from_another_trace():
    kept = []

    def leak(s, b, h, i, j):
        kept.append(s)
        return s

    trace(leak, None, "f32")
    with pytest.raises(TypeError, match="expected values of this call"):
        trace(lambda s, b, h, i, j: s + kept[0], None, "f32")
