"""Few query rows over many keys: heads of a group as rows, keys in splits, keys and values read where they lie."""

import numpy as np
import pytest
from cases import MASK_NAMES, SCORE_MODS, STRIDES, Case, build, call, run

import flashc

DTYPES = ("f32", "f64", "bf16", "f16")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("Sq", range(1, 18))
def test_query_lengths(Sq, dtype):
    """Up to sixteen rows take the one form, more the other (over less than 512 keys)."""
    run(Case(dtype=dtype, D=64, B=2, Hq=2, Hkv=2, Sq=Sq, Sk=1023))
    run(Case(dtype=dtype, D=64, B=1, Hq=6, Hkv=2, Sq=Sq, Sk=97, masks=("causal_br",)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", (17, 20, 31, 32, 33))
def test_more_rows_over_many_keys(rows, dtype):
    """Up to 32 rows take the form of short queries where there are 512 keys and more."""
    run(Case(dtype=dtype, D=64, B=1, Hq=2, Hkv=2, Sq=rows, Sk=1023, masks=("causal_br",)))
    run(Case(dtype=dtype, D=80, B=2, Hq=rows, Hkv=1, Sq=1, Sk=512))
    run(Case(dtype=dtype, D=64, B=1, Hq=2, Hkv=2, Sq=rows, Sk=511))


@pytest.mark.parametrize("ratio", (1, 2, 3, 4, 5, 7, 8, 16))
@pytest.mark.parametrize("Sq", (1, 2, 3))
def test_head_ratios(ratio, Sq):
    for name in ("causal_br", "tensor"):
        run(Case(D=40, B=2, Hq=2 * ratio, Hkv=2, Sq=Sq, Sk=1100, masks=(name,)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("D", (1, 8, 15, 16, 17, 40, 64, 80, 111, 128, 256))
def test_head_dims(D, dtype):
    run(Case(dtype=dtype, D=D, Hq=5, Hkv=1, Sq=1, Sk=300))
    run(Case(dtype=dtype, D=D, Dv=D + 7, Hq=2, Hkv=2, Sq=2, Sk=77, masks=("causal_br",)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("Sk", (0, 1, 15, 16, 17, 255, 257, 1000, 1023, 4097, 20000))
def test_key_lengths(Sk, dtype):
    run(Case(dtype=dtype, D=64, Hq=3, Hkv=1, Sq=1, Sk=Sk))
    run(Case(dtype=dtype, D=64, B=2, Hq=1, Hkv=1, Sq=1, Sk=Sk, masks=("key_lengths",)))


@pytest.mark.parametrize("name", MASK_NAMES)
@pytest.mark.parametrize("heads", [(2, 2), (8, 2)], ids=str)
@pytest.mark.parametrize("Sq", (1, 3))
def test_masks(name, heads, Sq):
    run(Case(D=64, B=2, Hq=heads[0], Hkv=heads[1], Sq=Sq, Sk=2500, masks=(name,)))


@pytest.mark.parametrize("name", SCORE_MODS)
def test_score_functions_see_their_head(name):
    run(Case(D=24, B=2, Hq=6, Hkv=2, Sq=3, Sk=1500, score_mod=name))


@pytest.mark.parametrize("flat", [(False,) * 4, (True, False, True, False), (True,) * 4], ids=str)
def test_biases_see_their_head(flat):
    run(Case(D=24, B=2, Hq=6, Hkv=2, Sq=3, Sk=1500, bias=flat, softcap=7.0))


@pytest.mark.parametrize("dtype", ("f32", "bf16"))
@pytest.mark.parametrize("strides", STRIDES)
def test_strides(strides, dtype):
    run(Case(dtype=dtype, D=80, B=2, Hq=4, Hkv=2, Sq=2, Sk=1300, strides=strides))


@pytest.mark.parametrize("target", ("cpu:x86-64", "cpu:x86-64-v3", "cpu:x86-64-v4"))
@pytest.mark.parametrize("dtype", DTYPES)
def test_instruction_sets(target, dtype):
    run(Case(dtype=dtype, D=59, Hq=7, Hkv=1, Sq=1, Sk=1100, masks=("causal_br",), target=target))


@pytest.mark.parametrize("heads", [(1, 1), (8, 2)], ids=str)
def test_masked_keys_do_not_leak(heads):
    """Keys beyond a batch entry's length hold NaN, in all splits but the first."""
    rng = np.random.default_rng(0)
    q = rng.standard_normal((2, heads[0], 1, 64), dtype=np.float32)
    k, v = (rng.standard_normal((2, heads[1], 5000, 64), dtype=np.float32) for _ in range(2))
    lengths = np.array([37, 0], np.int32)
    expected, lse = flashc.attention(q, k, v, mask=flashc.key_lengths(lengths), return_lse=True)
    for b, length in enumerate(lengths):
        k[b, :, length:] = v[b, :, length:] = np.nan
    out, lse_again = flashc.attention(q, k, v, mask=flashc.key_lengths(lengths), return_lse=True)
    assert np.array_equal(out, expected)
    assert np.array_equal(lse, lse_again)
    assert (out[1] == 0).all()
    assert np.isneginf(lse[1]).all()
    assert np.isfinite(lse[0]).all()


def test_a_nan_that_is_attended_is_seen():
    q, k, v = (np.ones((1, 1, s, 64), np.float32) for s in (1, 3000, 3000))
    v[0, 0, 2100, 5] = np.nan
    out = flashc.attention(q, k, v)
    assert np.isnan(out[0, 0, 0, 5])
    assert np.isfinite(np.delete(out[0, 0, 0], 5)).all()


def test_thread_counts_give_the_same_bits():
    rng = np.random.default_rng(1)
    q, k, v = (rng.standard_normal((1, h, s, 64), dtype=np.float32) for h, s in ((6, 1), (2, 9001), (2, 9001)))
    first = flashc.attention(q, k, v, return_lse=True)
    try:
        for threads in (1, 2, 3, 5):
            flashc.set_num_threads(threads)
            again = flashc.attention(q, k, v, return_lse=True)
            assert np.array_equal(first[0], again[0])
            assert np.array_equal(first[1], again[1])
    finally:
        flashc.set_num_threads(0)


def test_new_lengths_compile_nothing():
    case = Case(D=64, Hq=4, Hkv=2, Sq=1, Sk=33)
    call(case, build(case))
    before = flashc.compile_count()
    for Sq, Sk in ((1, 5000), (8, 70), (9, 70), (300, 70)):
        run(Case(D=64, Hq=4, Hkv=2, Sq=Sq, Sk=Sk))
    assert flashc.compile_count() == before
