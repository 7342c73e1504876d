"""The kernels of every GPU target on its emulated device, against the float64 definition.

What is static in a kernel - head dims, element type, masks - makes a kernel each; lengths, heads and strides are tried on
one. FLASHC_DEEP=1 runs every static case on every chip; otherwise the chips share the rarer ones.
"""

import numpy as np
import pytest
from cases import MASK_NAMES, SCORE_MODS, STRIDES, Case, run
from conftest import DEEP

import flashc

CHIPS = ("sm_80", "sm_90a", "gfx90a", "gfx942", "gfx1100")
DTYPES = ("f32", "f64", "bf16", "f16")
#: Query and key lengths around tiles, and both forms of a kernel: few query rows are another one.
LENGTHS = ((1, 1), (37, 150), (130, 97), (64, 64), (3, 200), (1, 1100))


def target(chip: str) -> str:
    return f"emulated:{chip}"


def dealt(cases: tuple, chips: tuple[str, ...] = CHIPS) -> list:
    """Every case on one chip, in turn; on all of them in the deep profile."""
    if DEEP:
        return [(chip, case) for chip in chips for case in cases]
    return [(chips[i % len(chips)], case) for i, case in enumerate(cases)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("chip", CHIPS)
def test_lengths(chip, dtype):
    for Sq, Sk in LENGTHS:
        run(Case(dtype=dtype, D=64, Hq=4, Hkv=2, Sq=Sq, Sk=Sk, masks=("causal_br",), target=target(chip)))


@pytest.mark.parametrize("dtype", ("f32", "bf16"))
@pytest.mark.parametrize("chip", CHIPS)
def test_no_mask(chip, dtype):
    for Sq, Sk in LENGTHS:
        run(Case(dtype=dtype, D=64, Hq=2, Hkv=1, Sq=Sq, Sk=Sk, target=target(chip)))


@pytest.mark.parametrize("D", (8, 24, 40, 59, 80, 96, 111, 128, 192, 256))
@pytest.mark.parametrize("dtype", ("f32", "bf16"))
def test_head_dims(D, dtype):
    chip = CHIPS[(8, 24, 40, 59, 80, 96, 111, 128, 192, 256).index(D) % len(CHIPS)]
    for lengths in ((37, 150), (2, 70)):
        run(Case(dtype=dtype, D=D, Sq=lengths[0], Sk=lengths[1], target=target(chip)))


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("dtype", ("f32", "bf16"))
def test_heads_in_parts(dtype, chip):
    """Few rows of more heads than a tile has rows for: whole tiles of heads, a last one of fewer, and one head alone."""
    for Hq, Hkv, Sq, Sk in ((20, 1, 1, 100), (32, 2, 1, 600), (6, 2, 7, 70), (9, 3, 16, 40), (8, 2, 5, 530)):
        for name in (None, "alibi"):
            sizes = {"B": 2, "Hq": Hq, "Hkv": Hkv, "Sq": Sq, "Sk": Sk}
            run(Case(dtype=dtype, D=24, masks=("causal_br",), score_mod=name, target=target(chip), **sizes))


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("D", (128, 256))
def test_wide_heads(D, chip):
    run(Case(dtype="bf16", D=D, Sq=70, Sk=150, masks=("causal_tl",), target=target(chip)))


@pytest.mark.parametrize(("chip", "dims"), dealt(((8, 24), (59, 1), (128, 64), (64, 128), (128, 128))), ids=str)
def test_value_dims(chip, dims):
    for dtype in ("f32", "f16"):
        run(Case(dtype=dtype, D=dims[0], Dv=dims[1], Sq=50, Sk=70, target=target(chip)))


@pytest.mark.parametrize(("chip", "name"), dealt(MASK_NAMES), ids=str)
def test_masks(chip, name):
    for lengths in ((130, 200), (1, 97), (97, 1)):
        run(Case(dtype="bf16", B=2, Sq=lengths[0], Sk=lengths[1], D=40, masks=(name,), target=target(chip)))


@pytest.mark.parametrize(("chip", "strides"), dealt(STRIDES), ids=str)
def test_strides(chip, strides):
    for Sq in (50, 1):
        run(
            Case(
                dtype="f16", B=2, Hq=4, Hkv=2, Sq=Sq, Sk=70, D=40, strides=strides, masks=("causal_br",),
                target=target(chip),
            )
        )  # fmt: skip


@pytest.mark.parametrize(("chip", "flat"), dealt(((False,) * 4, (True, False, False, True), (True,) * 4)), ids=str)
def test_bias(chip, flat):
    run(Case(dtype="bf16", B=2, Sq=50, Sk=70, D=24, bias=flat, target=target(chip)))


@pytest.mark.parametrize(("chip", "name"), dealt(tuple(name for name in SCORE_MODS if name != "powers")), ids=str)
def test_score_mod(chip, name):
    run(Case(dtype="f32", score_mod=name, softcap=5.0, Sq=50, Sk=70, D=24, masks=("causal_tl",), target=target(chip)))


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize(("dtype", "D"), (("f32", 256), ("f64", 128), ("f64", 256)))
def test_wide_elements(dtype, D, chip):
    """Query rows that do not fit into a block's shared memory are read where they lie, in vectors or singly."""
    for strides in ("plain", "transposed"):
        run(Case(dtype=dtype, D=D, Hq=4, Sq=37, Sk=50, masks=("causal_br",), strides=strides, target=target(chip)))
    run(Case(dtype=dtype, D=D, Hq=4, Hkv=2, Sq=1, Sk=70, target=target(chip)))


@pytest.mark.parametrize("chip", CHIPS)
def test_unknown_function(chip):
    """A function of scores without instruction or expansion is named, where the user wrote it."""
    with pytest.raises(ValueError, match=r"score:\d+:\d+: 'math.\w+' op on 'f64' has no instruction"):
        run(Case(dtype="f64", score_mod="functions", Sq=5, Sk=7, D=24, target=target(chip)))


@pytest.mark.parametrize(("chip", "dtype"), list(zip(CHIPS, ("f32", "f64", "bf16", "f64", "f32"))))
def test_powers(chip, dtype):
    run(Case(dtype=dtype, score_mod="powers", Sq=50, Sk=70, D=24, target=target(chip)))


@pytest.mark.parametrize("chip", CHIPS)
def test_softcap(chip):
    run(Case(dtype="f64", softcap=2.0, Sq=50, Sk=70, D=24, target=target(chip)))


@pytest.mark.parametrize("chip", CHIPS)
def test_empty(chip):
    for empty in ("B", "Sq", "Sk"):
        sizes = {"B": 2, "Sq": 9, "Sk": 9, empty: 0}
        run(Case(D=64, Hq=4, Hkv=2, dtype="bf16", masks=("causal_br",), target=target(chip), **sizes))


@pytest.mark.parametrize("chip", CHIPS)
def test_tiles_left_out(chip):
    """Tiles of keys that masks leave empty, first, last and in between, of many query rows and of few; and no others."""
    rng = np.random.default_rng(0)
    keys = np.repeat([[7, 1, 7, 7, 2, 1, 7, 3]], 64, axis=1).astype(np.int32)
    for Sq, wanted in ((97, (1, 2)), (1, (1, 1)), (97, (4, 4)), (70, (3, 3))):
        q, k, v = (rng.standard_normal((1, 2, count, 40), np.float32) for count in (Sq, 512, 512))
        queries = np.sort(rng.choice(wanted, (1, Sq))).astype(np.int32)
        allowed = queries[:, None, :, None] == keys[:, None, None, :]
        expected, _ = flashc.reference(q, k, v, mask=flashc.tensor(allowed))
        for mask in (flashc.segments(queries, keys), flashc.tensor(allowed)):
            out = flashc.attention(q, k, v, mask=mask, target=target(chip))
            assert np.abs(out - expected).max() < 1e-5


@pytest.mark.parametrize("dtype", ("f32", "bf16"))
@pytest.mark.parametrize("chip", CHIPS)
def test_masked_nan(chip, dtype):
    """NaN and infinities in keys and values that are not attended do not reach the result."""
    rng = np.random.default_rng(0)
    import torch

    kind = {"f32": torch.float32, "bf16": torch.bfloat16}[dtype]
    q, k, v = (torch.from_numpy(rng.standard_normal((1, 2, 70, 64), np.float32)).to(kind) for _ in range(3))
    clean = flashc.attention(q, k, v, mask=flashc.causal("top_left"), target=target(chip))
    k[:, :, 40:], v[:, :, 40:] = float("nan"), float("inf")
    dirty = flashc.attention(q, k, v, mask=flashc.causal("top_left"), target=target(chip))
    assert torch.equal(clean[:, :, :40], dirty[:, :, :40])
    assert torch.isnan(dirty[:, :, 40:]).all()


@pytest.mark.parametrize("strides", STRIDES)
def test_pipe_strides(strides):
    """Tensors that the copy unit takes and others, in kernels whose blocks have several pieces of work: keys and values of both kinds
    at once, too."""
    for D in (64, 40):
        run(Case(dtype="bf16", B=2, Hq=4, Hkv=2, Sq=130, Sk=200, D=D, strides=strides, masks=("causal_br",),
                 target=target("sm_90a")))  # fmt: skip


def test_pipe_alignment():
    """One tensor or the other begins beside a multiple of sixteen bytes; the result is the same to the bit."""
    rng = np.random.default_rng(0)
    shape = (1, 2, 150, 64)

    def shifted(x: np.ndarray, by: int) -> np.ndarray:
        memory = np.zeros(x.size + 64, x.dtype)
        first = -memory.ctypes.data % 16 // x.itemsize + by
        view = memory[first : first + x.size].reshape(x.shape)
        view[...] = x
        return view

    q, k, v = (rng.standard_normal(shape).astype(np.float16) for _ in range(3))
    results = [
        flashc.attention(q, shifted(k, a), shifted(v, b), mask=flashc.causal("top_left"), target=target("sm_90a"))
        for a, b in ((0, 0), (1, 0), (0, 3), (5, 5))
    ]
    for result in results[1:]:
        assert np.array_equal(results[0], result)
