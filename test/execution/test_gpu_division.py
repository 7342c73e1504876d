"""A score function's float32 quotients on the emulated GPUs, bit for bit against float64.

GPUs' code divides by an estimated reciprocal and a correction (passes/ExpandMath.cpp). Row i attends key i alone, whose score is
twelve bits of x_i / y_i as a number, and lse is that score: three heads tell the whole quotient.
"""

import itertools
import subprocess

import numpy as np
import pytest
from conftest import DEEP

import flashc

CHIPS = ("sm_80", "sm_90a", "gfx90a", "gfx942", "gfx1100") if DEEP else ("sm_80", "gfx942")
#: Pairs of these come first; 1e-40 is subnormal and 2^127 has a subnormal reciprocal.
SPECIAL = np.array(
    [
        0,
        -0.0,
        np.inf,
        -np.inf,
        np.nan,
        1,
        -3,
        1e-40,
        -1e-40,
        2**-126,
        -(2**-100),
        2**96,
        1.5 * 2**97,
        2**127,
        -(2**127),
        10,
    ],
    np.float32,
)
ROWS = 2048
FACTORS = (0x9E3779B1, 0x85EBCA77)
#: A division by a number that is known, too.
KNOWN = np.float32(3)


def score() -> str:
    """x and y of row %i by bits: a table for the first 256 rows, multiples of odd numbers for the others."""
    lines = ["%n = arith.index_cast %i : index to i32"]

    def constant(name: str, value: int) -> None:
        lines.append(f"%{name} = arith.constant {value if value < 2**31 else value - 2**32} : i32")

    for name, value in (("c4", 4), ("c8", 8), ("c15", 15), ("c16", 16), ("c20", 20), ("c256", 256), ("cfff", 0xFFF)):
        constant(name, value)
    lines += [
        "%first = arith.cmpi ult, %n, %c256 : i32",
        "%low = arith.andi %n, %c15 : i32",
        "%shifted = arith.shrui %n, %c4 : i32",
        "%high = arith.andi %shifted, %c15 : i32",
    ]
    for name, which, factor in (("x", "low", FACTORS[0]), ("y", "high", FACTORS[1])):
        constant(f"{name}f", factor)
        lines += [f"%{name}m = arith.muli %n, %{name}f : i32", f"%{name}s = arith.shrui %{name}m, %c16 : i32"]
        lines.append(f"%{name}_0 = arith.xori %{name}m, %{name}s : i32")
        for k, value in enumerate(SPECIAL.view(np.uint32)):
            constant(f"{name}k{k}", k)
            constant(f"{name}v{k}", int(value))
            lines += [
                f"%{name}is{k} = arith.cmpi eq, %{which}, %{name}k{k} : i32",
                f"%{name}here{k} = arith.andi %first, %{name}is{k} : i1",
                f"%{name}_{k + 1} = arith.select %{name}here{k}, %{name}v{k}, %{name}_{k} : i32",
            ]
        lines.append(f"%{name} = arith.bitcast %{name}_{len(SPECIAL)} : i32 to f32")
    lines += [
        "%three = arith.constant 3.0 : f32",
        "%by = arith.divf %x, %y : f32",
        "%known = arith.divf %x, %three : f32",
        *(f"%h{k} = arith.constant {k} : index" for k in range(6)),
        "%general = arith.cmpi ult, %h, %h3 : index",
        "%q = arith.select %general, %by, %known : f32",
        "%bits = arith.bitcast %q : f32 to i32",
        "%part = arith.remui %h, %h3 : index",
        "%is0 = arith.cmpi eq, %part, %h0 : index",
        "%is1 = arith.cmpi eq, %part, %h1 : index",
        "%p0 = arith.shrui %bits, %c20 : i32",
        "%p1 = arith.shrui %bits, %c8 : i32",
        "%p01 = arith.select %is0, %p0, %p1 : i32",
        "%any = arith.ori %is0, %is1 : i1",
        "%p = arith.select %any, %p01, %bits : i32",
        "%masked = arith.andi %p, %cfff : i32",
        "%r = arith.uitofp %masked : i32 to f32",
        "attn.yield %r : f32",
    ]
    return "\n".join(lines)


def operands() -> tuple[np.ndarray, np.ndarray]:
    n = np.arange(ROWS, dtype=np.uint64)
    result = []
    for table, factor in zip((n % 16, n // 16 % 16), FACTORS):
        multiple = (n * factor).astype(np.uint32)
        bits = multiple ^ (multiple >> np.uint32(16))
        bits[:256] = SPECIAL.view(np.uint32)[table[:256]]
        result.append(bits.view(np.float32))
    return result[0], result[1]


def flushed(x: np.ndarray) -> np.ndarray:
    return np.where(np.abs(x) < 2.0**-126, np.copysign(np.zeros_like(x), x), x)


def ordered(x: np.ndarray) -> np.ndarray:
    """Neighbouring numbers as neighbouring integers."""
    bits = x.view(np.int32).astype(np.int64)
    return np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)


def matches(found: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Whether each is the rounded quotient, or zero where that is subnormal."""
    with np.errstate(all="ignore"):
        exact = x.astype(np.float64) / y.astype(np.float64)
        expected = exact.astype(np.float32)
    # Where a remainder would be subnormal it corrects nothing; a result that is one may have been rounded before.
    bound = np.where((np.abs(x) < 2.0**-100) | (np.abs(exact) <= 2.0**-126), 3, 0)
    near = (np.signbit(found) == np.signbit(expected)) & (np.abs(ordered(found) - ordered(expected)) <= bound)
    vanishes = (found == 0) & (np.abs(exact) <= 2.0**-126) & (np.signbit(found) == np.signbit(expected))
    return np.where(np.isnan(expected), np.isnan(found), near | vanishes)


def judge(found: np.ndarray, x: np.ndarray, y: np.ndarray, name: str) -> None:
    # A chip takes subnormal operands for zeros, the emulated ones not all.
    right = np.zeros(ROWS, bool)
    for numerator, denominator in itertools.product((x, flushed(x)), (y, flushed(y))):
        right |= matches(found, numerator, denominator)
    wrong = np.flatnonzero(~right)
    assert not wrong.size, f"{name}: " + ", ".join(f"{x[i]!r} / {y[i]!r} gave {found[i]!r}" for i in wrong[:5])


@pytest.mark.parametrize("chip", CHIPS)
def test_quotients(chip, tmp_path):
    (tmp_path / "score.mlir").write_text(score())
    command = ["flash-compile", "--head-dim", "8", "--dtype", "f32", "--lse", "--mask", "window(0,0,top_left)"]
    command += ["--score", str(tmp_path / "score.mlir"), "--target", f"emulated:{chip}", "--name", "quotients"]
    subprocess.run([*command, "-o", str(tmp_path / "pack")], check=True)
    kernel = flashc.load(str(tmp_path / "pack"))
    q, k, v = (np.zeros((1, 6, ROWS, 8), np.float32) for _ in range(3))
    lse = np.rint(kernel(q, k, v)[1][0].astype(np.float64)).astype(np.uint32)
    x, y = operands()
    for first, divisor, name in ((0, y, "by any number"), (3, np.full_like(x, KNOWN), "by three")):
        bits = lse[first] << 20 | lse[first + 1] << 8 | lse[first + 2] & 0xFF
        judge(bits.astype(np.uint32).view(np.float32), x, divisor, f"{chip}, {name}")


def test_the_pairs_are_of_all_kinds():
    x, y = operands()
    kinds = {"zero": lambda z: z == 0, "infinite": np.isinf, "NaN": np.isnan, "finite": np.isfinite}
    for of_x, of_y in itertools.product(kinds, kinds):
        assert np.any(kinds[of_x](x) & kinds[of_y](y)), (of_x, of_y)
    assert len(np.unique(np.stack([x.view(np.uint32), y.view(np.uint32)]), axis=1).T) > ROWS - 8
