"""What the CPU's execution tests hold beside test_gpu.py's cases, on the emulated GPUs: masks that meet, scores of every kind, few
queries, and promises.

In the quick profile each case is on one chip; FLASHC_DEEP=1 has all on all.
"""

import itertools

import numpy as np
import pytest
from cases import MASK_MODS, MASK_NAMES, SCORE_MODS, Case, build, call, flashc_mask, run
from conftest import DEEP
from oracle import Problem, attention

import flashc

CHIPS = ("sm_80", "gfx942", "sm_90a", "gfx1100", "gfx90a")
JOINED = tuple(itertools.combinations(("causal_br", "window", "key_lengths", "segments", "tensor"), 2))
DTYPE_NAMES = ("bf16", "f32", "f16", "f64")


def target(chip: str) -> str:
    return f"emulated:{chip}"


def dealt(cases: tuple, first: int = 0) -> list:
    """Every case on one chip, in turn from the chip of number `first` on; on all of them in the deep profile."""
    if DEEP:
        return [(chip, case) for chip in CHIPS for case in cases]
    return [(CHIPS[(first + i) % len(CHIPS)], case) for i, case in enumerate(cases)]


@pytest.mark.parametrize(
    ("chip", "case"), dealt((("f16", 1), ("f64", 88), ("bf16", 160), ("f16", 224), ("f64", 59))), ids=str
)
def test_more_head_dims(chip, case):
    for Sq, Sk in ((37, 150), (2, 70)):
        run(Case(dtype=case[0], D=case[1], Sq=Sq, Sk=Sk, target=target(chip)))


@pytest.mark.parametrize(("chip", "dims"), dealt(((1, 59), (192, 128))), ids=str)
def test_more_value_dims(chip, dims):
    run(Case(dtype="bf16", D=dims[0], Dv=dims[1], Sq=50, Sk=70, target=target(chip)))


@pytest.mark.parametrize(("chip", "name"), dealt(MASK_NAMES, first=1), ids=str)
def test_masks(chip, name):
    """Both forms of the kernel, in the one for few rows with heads that share keys."""
    dtype = DTYPE_NAMES[MASK_NAMES.index(name) % 4]
    run(Case(dtype=dtype, B=2, Sq=70, Sk=130, D=64, masks=(name,), target=target(chip)))
    run(Case(dtype=dtype, B=2, Hq=8, Hkv=2, Sq=3, Sk=300, D=64, masks=(name,), target=target(chip)))


@pytest.mark.parametrize(("chip", "names"), dealt(JOINED), ids=str)
def test_joined_masks(chip, names):
    run(Case(dtype="bf16", B=2, Sq=150, Sk=180, D=40, masks=names, target=target(chip)))
    run(Case(dtype="bf16", B=2, Hq=4, Hkv=2, Sq=2, Sk=180, D=40, masks=names, target=target(chip)))


@pytest.mark.parametrize(("chip", "dtype"), dealt(("bf16", "f32", "f16")), ids=str)
def test_many_masks(chip, dtype):
    masks = ("causal_br", "window_left", "key_padding", "segments", "tensor_row")
    run(Case(dtype=dtype, B=2, Sq=150, Sk=180, D=40, masks=masks, target=target(chip)))


@pytest.mark.parametrize(("chip", "flat"), dealt(tuple(itertools.product((False, True), repeat=4))[1:15:3], 3), ids=str)
def test_bias(chip, flat):
    for Sq, heads in ((50, 2), (3, 6), (0, 2)):
        run(Case(dtype="f32", B=2, Hq=heads, Sq=Sq, Sk=70, D=24, bias=flat, softcap=7.0, target=target(chip)))


@pytest.mark.parametrize(
    ("chip", "dtypes"),
    dealt((("bf16", "f32"), ("f16", "f32"), ("bf16", "f16"), ("f64", "f32"), ("f32", "bf16"))),
    ids=str,
)
def test_bias_of_another_type(chip, dtypes):
    flat = (True, False, False, False)
    run(Case(dtype=dtypes[0], bias_dtype=dtypes[1], Sq=50, Sk=70, bias=flat, target=target(chip)))


@pytest.mark.parametrize(
    ("chip", "case"), dealt((("bf16", 0.5), ("f32", 30.0), ("f16", 30.0), ("bf16", 30.0))), ids=str
)
def test_softcap(chip, case):
    run(Case(dtype=case[0], softcap=case[1], Sq=50, Sk=70, masks=("causal_br",), target=target(chip)))


@pytest.mark.parametrize(("chip", "scale"), dealt((0.0, -0.3, 1.0, 8.0), first=2), ids=str)
def test_scale(chip, scale):
    run(Case(scale=scale, Sq=50, Sk=70, target=target(chip)))


@pytest.mark.parametrize(("chip", "name"), dealt(tuple(name for name in SCORE_MODS if name != "functions"), 1), ids=str)
def test_score_mod_with_everything(chip, name):
    everything = {"softcap": 5.0, "bias": (True, False, False, True), "masks": ("causal_tl",), "D": 24}
    run(Case(B=2, score_mod=name, Sq=50, Sk=70, target=target(chip), **everything))
    run(Case(B=2, Hq=6, Hkv=2, score_mod=name, Sq=3, Sk=200, target=target(chip), **everything))


@pytest.mark.parametrize(("chip", "case"), dealt(tuple(itertools.product(MASK_MODS, (None, 2.0)))), ids=str)
def test_mask_mod(chip, case):
    run(Case(dtype="bf16", mask_mod=case[0], softcap=case[1], Sq=50, Sk=70, D=24, target=target(chip)))


@pytest.mark.parametrize(("chip", "dtype"), dealt(DTYPE_NAMES, first=1))
def test_without_lse(chip, dtype):
    for Sq in (45, 2):
        run(Case(dtype=dtype, B=2, Sq=Sq, Sk=33, D=24, lse=False, masks=("causal_br",), target=target(chip)))


@pytest.mark.parametrize(("chip", "dtype"), list(zip(CHIPS, ("bf16", "f32", "f16", "bf16", "f32"))))
def test_lengths_and_heads(chip, dtype):
    """Of one kernel: around the ends of tiles, every number of few queries, heads that share keys, heads that are not there."""
    shape = {"dtype": dtype, "D": 64, "masks": ("causal_br",), "target": target(chip)}
    for Sk in (2, 15, 16, 17, 31, 33, 63, 65, 127, 129):
        run(Case(Sq=Sk, Sk=Sk, Hq=2, Hkv=1, **shape))
    for Sq in (1, 2, 4, 5, 7, 8, 9, 15, 16, 17):
        run(Case(Sq=Sq, Sk=97, Hq=6, Hkv=2, **shape))
    for heads in ((1, 1), (4, 1), (8, 8), (32, 4)):
        run(Case(B=2, Hq=heads[0], Hkv=heads[1], Sq=3, Sk=90, **shape))
    run(Case(Hq=0, Hkv=0, Sq=9, Sk=9, **shape))


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


MASKS_OF_KEYS = ("key_lengths", "key_padding", "segments", "tensor_row", "window")


@pytest.mark.parametrize(("chip", "mask"), dealt(MASKS_OF_KEYS), ids=str)
@pytest.mark.parametrize("Sq", (40, 2))
def test_masked_keys_do_not_leak(chip, mask, Sq):
    """NaN in keys and values that no query attends changes no bit."""
    inputs = build(Case(dtype="bf16" if Sq == 40 else "f32", B=2, Sq=Sq, Sk=90, D=24, masks=(mask,)))
    p = inputs.problem
    if mask == "tensor_row":
        p.masks[0].arrays[0][..., 30:60] = 0
    if mask == "segments":
        p.masks[0].arrays[1][:, 80:] = 9  # a document that no query belongs to
    attends = attention(Problem(p.q, p.k, np.broadcast_to(np.eye(90), (2, 2, 90, 90)), masks=p.masks))[0] != 0
    unused = ~attends.any(axis=(1, 2))
    assert unused.any()
    q, k, v = (np.array(x) for x in inputs.arrays)
    options = {"mask": flashc_mask(p.masks), "return_lse": True, "target": target(chip)}
    clean = flashc.attention(q, k, v, **options)
    for b in range(2):
        k[b][:, unused[b]] = np.nan
        v[b][:, unused[b]] = np.nan
    for x, y in zip(clean, flashc.attention(q, k, v, **options)):
        assert np.array_equal(x, y)


@pytest.mark.parametrize(("chip", "Sq"), dealt((30, 2), first=1))
def test_nan_that_is_attended_is_seen(chip, Sq):
    q, k, v = draw(1, 1, Sq, 24), draw(1, 1, 200, 24, seed=1), draw(1, 1, 200, 24, seed=2)
    v[0, 0, 111, 5] = np.nan
    out = flashc.attention(q, k, v, target=target(chip))
    assert np.isnan(out[..., 5]).all()
    assert np.isfinite(np.delete(out, 5, axis=-1)).all()


@pytest.mark.parametrize(("chip", "dtype"), dealt(("bf16", "f32", "f64")))
def test_large_scores_do_not_overflow(chip, dtype):
    case = Case(dtype=dtype, Sq=40, Sk=60, D=24, scale=50.0, target=target(chip))
    out, lse = call(case, build(case))
    assert np.isfinite(out.astype(np.float64)).all()
    assert np.isfinite(lse).all()


@pytest.mark.parametrize(("chip", "where"), dealt(("batch", "head", "length", "dim")), ids=str)
def test_views_that_cross_two_to_the_31_elements(chip, where):
    """Strides so large that 32-bit offsets would wrap; only touched pages take memory."""
    sizes = (2, 2, 5, 8)
    stride = {"batch": [2**31 + 8, 64, 8, 1], "head": [64, 2**31 + 8, 8, 1], "length": [64, 16, 2**29 + 8, 1],
              "dim": [64, 32, 4, 2**29 + 1]}[where]  # fmt: skip
    span = sum((n - 1) * s for n, s in zip(sizes, stride)) + 1
    assert span > 2**31
    memory = np.zeros(span, np.float32)

    def strided(values: np.ndarray) -> np.ndarray:
        view = np.lib.stride_tricks.as_strided(memory, sizes, [s * 4 for s in stride])
        view[...] = values
        return view

    q, k, v = draw(*sizes), draw(*sizes, seed=1), draw(*sizes, seed=2)
    options = {"mask": flashc.causal("top_left"), "target": target(chip)}
    expected = flashc.attention(q, k, v, **options)
    for place in range(3):
        arrays = [q, k, v]
        arrays[place] = strided(arrays[place])
        assert np.array_equal(flashc.attention(*arrays, **options), expected)


@pytest.mark.parametrize(("chip", "lengths"), dealt(((130, 200), (2, 300)), first=2), ids=str)
def test_runs_and_strides_give_the_same_bits(chip, lengths):
    Sq, Sk = lengths
    q, k, v = draw(2, 4, Sq, 64), draw(2, 2, Sk, 64, seed=1), draw(2, 2, Sk, 64, seed=2)
    options = {"mask": flashc.causal("bottom_right"), "target": target(chip)}
    first = flashc.attention(q, k, v, **options)
    turned = [np.ascontiguousarray(x.transpose(0, 2, 1, 3)).transpose(0, 2, 1, 3) for x in (q, k, v)]
    for arrays in ((q, k, v), turned, [x[:, :, :, ::-1].copy()[:, :, :, ::-1] for x in (q, k, v)]):
        assert np.array_equal(first, flashc.attention(*arrays, **options))
