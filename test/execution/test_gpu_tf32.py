"""float32 through tf32, on request: NVIDIA's mma.sync m16n8k8 on the emulated devices, against the float64 definition.

The bound is that of every low precision: twice the largest error of the standard, unfused computation whose products round what they
multiply to tf32.
"""

import numpy as np
import pytest
from cases import Case, run
from conftest import DEEP
from oracle import tf32

import flashc

CHIPS = ("sm_80", "sm_90a")
LENGTHS = ((1, 1), (37, 150), (130, 97), (64, 64), (3, 200), (1, 1100))
HEAD_DIMS = (8, 24, 40, 59, 64, 80, 96, 111, 128, 160, 192, 224, 256)
MASKS = ("causal_tl", "window", "key_lengths", "key_padding", "prefix_lm", "segments", "tensor")


def check(chip: str, **case) -> None:
    run(Case(tf32=True, target=f"emulated:{chip}", **case))


def dealt(cases: tuple) -> list:
    """Every case on one chip, in turn; on both in the deep profile."""
    return [(chip, case) for i, case in enumerate(cases) for chip in (CHIPS if DEEP else CHIPS[i % 2 : i % 2 + 1])]


@pytest.mark.parametrize("chip", CHIPS)
def test_lengths(chip):
    for Sq, Sk in LENGTHS:
        check(chip, D=64, Hq=4, Hkv=2, Sq=Sq, Sk=Sk, masks=("causal_br",))


@pytest.mark.parametrize("chip", CHIPS)
def test_no_mask(chip):
    for Sq, Sk in LENGTHS:
        check(chip, D=64, Hq=2, Hkv=1, Sq=Sq, Sk=Sk)


@pytest.mark.parametrize(("chip", "D"), dealt(HEAD_DIMS))
def test_head_dims(chip, D):
    """Rows of queries that registers do not hold are read from shared memory; odd ones begin anywhere."""
    check(chip, D=D, Sq=70, Sk=150, masks=("causal_br",))
    check(chip, D=D, Sq=2, Sk=70)


@pytest.mark.parametrize(("chip", "dims"), dealt(((8, 24), (59, 1), (128, 64), (64, 128))), ids=str)
def test_value_dims(chip, dims):
    check(chip, D=dims[0], Dv=dims[1], Sq=50, Sk=70)


@pytest.mark.parametrize(("chip", "name"), dealt(MASKS))
def test_masks(chip, name):
    for Sq, Sk in ((130, 200), (1, 97)):
        check(chip, B=2, Sq=Sq, Sk=Sk, D=40, masks=(name,))


@pytest.mark.parametrize(("chip", "strides"), dealt(("bshd", "transposed", "fused", "padded", "negative")))
def test_strides(chip, strides):
    for Sq in (50, 1):
        check(chip, B=2, Hq=4, Hkv=2, Sq=Sq, Sk=70, D=40, strides=strides, masks=("causal_br",))


@pytest.mark.parametrize("chip", CHIPS)
def test_scores(chip):
    check(chip, score_mod="alibi", softcap=5.0, Sq=50, Sk=70, D=24, masks=("causal_tl",))
    check(chip, bias=(False, True, False, False), Sq=50, Sk=70, D=24)


@pytest.mark.parametrize("chip", CHIPS)
def test_empty(chip):
    for empty in ("B", "Sq", "Sk"):
        check(chip, D=64, Hq=4, Hkv=2, masks=("causal_br",), **{"B": 2, "Sq": 9, "Sk": 9, empty: 0})


@pytest.mark.parametrize("chip", CHIPS)
def test_rounding(chip):
    """A single key of score 0 has the weight 1 to the bit, so the result is its value as the product takes it: to the nearest, ties
    away from zero."""
    rng = np.random.default_rng(0)
    k, v = (rng.standard_normal((1, 2, 1, 64), np.float32) for _ in range(2))
    q = np.zeros((1, 2, 40, 64), np.float32)
    v[..., 0], v[..., 1] = 1 + 2.0**-11, -1 - 2.0**-11
    out = flashc.attention(q, k, v, tf32=True, target=f"emulated:{chip}")
    assert np.array_equal(out, np.broadcast_to(tf32(v), out.shape))
    assert list(out[0, 0, 0, :2]) == [1 + 2.0**-10, -1 - 2.0**-10]
    exact = flashc.attention(q, k, v, target=f"emulated:{chip}")
    assert np.array_equal(exact, np.broadcast_to(v, out.shape))


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("value", (np.inf, np.nan, np.finfo(np.float32).max), ids=("inf", "nan", "rounds to inf"))
def test_masked_nan(chip, value):
    """What is not attended does not reach the result, not even a finite value that tf32 has no number for. Tiles with such values
    are multiplied one by one, in another order: float32's tolerance lies between the two."""
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal((1, 2, 70, 64), np.float32) for _ in range(3))

    def attend() -> np.ndarray:
        return flashc.attention(q, k, v, mask=flashc.causal("top_left"), tf32=True, target=f"emulated:{chip}")

    clean = attend()
    k[:, :, 40:], v[:, :, 40:] = np.nan, value
    dirty = attend()
    largest = np.abs(clean).max(axis=-1, keepdims=True)
    assert (np.abs(clean - dirty) <= 1e-5 * largest)[:, :, :40].all()
    assert np.isnan(dirty[:, :, 40:]).all()


def test_kernels_are_apart():
    """With it and without are two kernels, of two descriptions, also at one place in a program."""
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal((1, 2, 20, 32), np.float32) for _ in range(3))
    results = [flashc.attention(q, k, v, tf32=on, target="emulated:sm_80") for on in (False, True, False, True)]
    assert np.array_equal(results[0], results[2])
    assert np.array_equal(results[1], results[3])
    assert not np.array_equal(results[0], results[1])
    rounded, exact = (flashc.compile(head_dim=32, tf32=on, target="emulated:sm_80") for on in (True, False))
    assert rounded.info["tf32"] is True
    assert "tf32" not in exact.info


@pytest.mark.parametrize(
    ("dtype", "target", "message"),
    (
        ("f32", "host", "asks for products in tf32, which no CPU has; expected a target of NVIDIA's"),
        (
            "f32",
            "emulated:gfx942",
            "need a matrix unit mma or wgmma, and the target's is mfma; expected a target of NVIDIA's",
        ),
        ("f32", "emulated:gfx1100", "need a matrix unit mma or wgmma, and the target's is wmma"),
        ("bf16", "emulated:sm_80", "expected f32 elements of the query for products in tf32, got 'bf16'"),
        ("f64", "emulated:sm_90a", "expected f32 elements of the query for products in tf32, got 'f64'"),
    ),
)
def test_refusals(dtype, target, message):
    with pytest.raises(ValueError, match=message):
        flashc.compile(head_dim=64, dtype=dtype, tf32=True, target=target)
