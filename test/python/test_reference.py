"""The runtime's float64 oracle against NumPy: every clause of the definition, alone and joined."""

import itertools

import ml_dtypes
import numpy as np
import pytest
from cases import flashc_mask, mask_terms
from oracle import DTYPES, Problem, attention

import flashc

MASKS = [
    (),
    ("causal_tl",),
    ("causal_br",),
    ("window",),
    ("window_left",),
    ("window_right",),
    ("key_lengths",),
    ("key_padding",),
    ("prefix_lm",),
    ("segments",),
    ("tensor",),
    ("causal_br", "window"),
    ("causal_tl", "key_lengths"),
    ("segments", "causal_tl"),
    ("tensor", "key_padding", "window_left"),
]


def make(rng, B=2, Hq=4, Hkv=2, Sq=7, Sk=9, D=8, Dv=5, dtype="f64", masks=(), **options):
    def draw(*shape):
        return rng.standard_normal(shape).astype(DTYPES[dtype])

    problem = Problem(draw(B, Hq, Sq, D), draw(B, Hkv, Sk, D), draw(B, Hkv, Sk, Dv), **options)
    problem.masks = mask_terms(masks, problem.scores_shape, rng)
    return problem


def reference(p, **options):
    return flashc.reference(
        p.q, p.k, p.v, mask=flashc_mask(p.masks), scale=p.scale, softcap=p.softcap, bias=p.bias,
        score_mod=p.score_mod, mask_mod=p.mask_mod, **options
    )  # fmt: skip


def check(problem):
    out, lse = reference(problem)
    expected_out, expected_lse = attention(problem)
    assert out.dtype == lse.dtype == np.float64
    np.testing.assert_allclose(out, expected_out, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(lse, expected_lse, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("masks", MASKS, ids="+".join)
@pytest.mark.parametrize("lengths", [(7, 9), (9, 7), (6, 6), (1, 5), (5, 1)], ids=str)
def test_masks(masks, lengths):
    check(make(np.random.default_rng(1), Sq=lengths[0], Sk=lengths[1], masks=masks))


@pytest.mark.parametrize("dtype", DTYPES)
def test_element_types_are_read_exactly(dtype):
    check(make(np.random.default_rng(2), dtype=dtype, masks=("causal_br",)))


@pytest.mark.parametrize("heads", [(1, 1), (4, 1), (6, 3), (8, 8)], ids=str)
def test_head_groups(heads):
    check(make(np.random.default_rng(3), Hq=heads[0], Hkv=heads[1]))


@pytest.mark.parametrize("shape", [(1, 1), (7, 1), (1, 9), (7, 9)], ids=str)
@pytest.mark.parametrize("outer", [(1, 1), (2, 1), (1, 4), (2, 4)], ids=str)
def test_bias_broadcasts(shape, outer):
    rng = np.random.default_rng(4)
    check(make(rng, bias=rng.standard_normal((*outer, *shape))))


def test_bias_of_fewer_dimensions():
    rng = np.random.default_rng(5)
    check(make(rng, bias=rng.standard_normal((7, 9))))
    check(make(rng, bias=rng.standard_normal(9)))


def test_scale_and_softcap_come_before_the_bias():
    rng = np.random.default_rng(6)
    check(make(rng, scale=0.7, softcap=1.5, bias=rng.standard_normal((7, 9))))


def score_with_positions(s, b, h, i, j):
    return flashc.where(i >= j, s * 0.5 - 0.1 * (i - j), s) + 0.01 * h * b


def test_score_mod_sees_the_scaled_score():
    check(make(np.random.default_rng(7), score_mod=score_with_positions, softcap=2.0))


def test_mask_mod():
    check(make(np.random.default_rng(8), mask_mod=lambda b, h, i, j: (i + j) % 3 != h % 3, masks=("causal_tl",)))


def test_a_score_of_minus_infinity_is_not_attended_even_under_softcap():
    check(make(np.random.default_rng(9), score_mod=lambda s, b, h, i, j: s if j % 2 else -np.inf, softcap=3.0))


def test_rows_with_nothing_to_attend():
    problem = make(np.random.default_rng(10), Sq=9, Sk=4, masks=("causal_br",))
    out, lse = reference(problem)
    check(problem)
    assert (out[:, :, :5] == 0).all()
    assert np.isneginf(lse[:, :, :5]).all()
    assert np.isfinite(lse[:, :, 5:]).all()


@pytest.mark.parametrize("empty", ["B", "Sq", "Sk"])
def test_empty(empty):
    problem = make(np.random.default_rng(11), **{empty: 0})
    out, lse = reference(problem)
    assert out.shape == (*problem.q.shape[:3], 5)
    assert (out == 0).all()
    assert np.isneginf(lse).all()


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_masked_keys_do_not_leak(poison):
    problem = make(np.random.default_rng(12), Sq=6, Sk=6, masks=("key_lengths",))
    lengths = problem.masks[0].arrays[0]
    lengths[:] = (3, 0)
    clean_out, clean_lse = reference(problem)
    for b, length in enumerate(lengths):
        problem.k[b, :, length:] = poison
        problem.v[b, :, length:] = poison
    out, lse = reference(problem)
    assert np.array_equal(out, clean_out)
    assert np.array_equal(lse, clean_lse)


def test_nan_in_an_attended_key_is_seen():
    problem = make(np.random.default_rng(13))
    problem.k[0, 0, 3, 0] = np.nan
    out, _ = reference(problem)
    assert np.isnan(out[0, :2]).all()
    assert np.isfinite(out[1]).all()


def test_layout_bshd_is_the_same_attention():
    p = make(np.random.default_rng(14), masks=("causal_tl",))
    out, lse = reference(p)
    q, k, v = (x.transpose(0, 2, 1, 3) for x in (p.q, p.k, p.v))
    other, other_lse = flashc.reference(q, k, v, mask=flashc_mask(p.masks), layout="bshd")
    assert np.array_equal(other, out.transpose(0, 2, 1, 3))
    assert np.array_equal(other_lse, lse)


def test_strides():
    p = make(np.random.default_rng(15))
    out, lse = reference(p)
    p.q = p.q[:, :, ::-1].copy()[:, :, ::-1]
    p.k = np.asfortranarray(p.k)
    p.v = np.repeat(p.v, 2, axis=3)[..., ::2]
    again, again_lse = reference(p)
    assert np.array_equal(out, again)
    assert np.array_equal(lse, again_lse)


def test_thread_counts_give_the_same_bits():
    problem = make(np.random.default_rng(16), B=3, Sq=40, Sk=50)
    results = []
    for threads in (1, 2, 3):
        flashc.set_num_threads(threads)
        results.append(reference(problem))
    flashc.set_num_threads(0)
    for (out, lse), (other, other_lse) in itertools.pairwise(results):
        assert np.array_equal(out, other)
        assert np.array_equal(lse, other_lse)


def test_exceptions_of_a_score_mod_arrive():
    def broken(s, b, h, i, j):
        raise KeyError("mine")

    p = make(np.random.default_rng(17))
    with pytest.raises(KeyError, match="mine"):
        flashc.reference(p.q, p.k, p.v, score_mod=broken)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"k": np.zeros((2, 2, 9, 7))}, "k"),
        ({"k": np.zeros((1, 2, 9, 8))}, "k"),
        ({"v": np.zeros((2, 2, 8, 5))}, "v"),
        ({"q": np.zeros((2, 3, 7, 8))}, "multiple|heads"),
        ({"q": np.zeros((4, 7, 8))}, "rank|dimensions"),
    ],
)
def test_wrong_shapes(change, message):
    p = make(np.random.default_rng(18))
    arguments = {"q": p.q, "k": p.k, "v": p.v, **change}
    with pytest.raises(ValueError, match=message):
        flashc.reference(**arguments)


def test_wrong_element_type():
    p = make(np.random.default_rng(19))
    with pytest.raises(TypeError, match="i64"):
        flashc.reference(p.q.astype(np.int64), p.k, p.v)


def test_bf16_is_not_rounded_again():
    x = np.full((1, 1, 1, 1), ml_dtypes.bfloat16(1.0 / 3.0))
    out, _ = flashc.reference(x, x, x)
    assert out[0, 0, 0, 0] == float(ml_dtypes.bfloat16(1.0 / 3.0))
