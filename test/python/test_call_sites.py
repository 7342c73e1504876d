"""The short way of a repeated call: it never mistakes one call for another."""

import numpy as np
import pytest
import torch

import flashc

RNG = np.random.default_rng(0)
Q = RNG.standard_normal((1, 2, 9, 16), np.float32)


def reference(*arrays, **options):
    return flashc.reference(*arrays, **options)[0]


def close(result, expected):
    return np.abs(np.asarray(result, np.float64) - expected).max() < 2e-2


def test_the_same_options_with_other_arrays():
    """Element type, head dims, bias and mask types are part of what decides."""
    mask = flashc.causal("top_left")
    for _ in range(3):
        for dtype in (np.float32, np.float64):
            for dims in ((16, 16), (16, 8)):
                q, v = Q[..., : dims[0]].astype(dtype), Q[..., : dims[1]].astype(dtype)
                out = flashc.attention(q, q, v, mask=mask)
                assert out.dtype == dtype
                assert close(out, reference(q, q, v, mask=mask))
        for bias in (None, np.ones((9, 9), np.float32) * np.arange(9, dtype=np.float32), np.eye(9, dtype=np.float16)):
            assert close(flashc.attention(Q, Q, Q, bias=bias), reference(Q, Q, Q, bias=bias))
        for lengths in (np.array([4], np.int32), np.array([4], np.int64)):
            masked = flashc.key_lengths(lengths)
            assert close(flashc.attention(Q, Q, Q, mask=masked), reference(Q, Q, Q, mask=masked))


def test_more_calls_than_are_remembered():
    scales = [0.05 * n for n in range(1, 11)]
    for _ in range(2):
        for scale in scales:
            assert close(flashc.attention(Q, Q, Q, scale=scale), reference(Q, Q, Q, scale=scale))


def test_an_option_that_changes():
    """A number that is an array may hold another value at the next call."""
    scale = np.array(0.5)
    first = flashc.attention(Q, Q, Q, scale=scale)
    scale[...] = 0.1
    second = flashc.attention(Q, Q, Q, scale=scale)
    assert close(first, reference(Q, Q, Q, scale=0.5))
    assert close(second, reference(Q, Q, Q, scale=0.1))


def test_layouts_share_a_kernel_and_nothing_else():
    turned = np.ascontiguousarray(Q.transpose(0, 2, 1, 3))
    for _ in range(3):
        first = flashc.attention(Q, Q, Q)
        second = flashc.attention(turned, turned, turned, layout="bshd")
        assert np.array_equal(first, second.transpose(0, 2, 1, 3))


def test_kernels_that_were_forgotten():
    expected = flashc.attention(Q, Q, Q)
    flashc.clear_cache()
    assert flashc.cache_info()["in_memory"] == 0
    assert np.array_equal(flashc.attention(Q, Q, Q), expected)
    assert flashc.cache_info()["in_memory"] == 1


def test_a_negated_view_is_refused_each_time():
    negated = torch.from_numpy(Q + 1j * Q).conj().imag
    assert negated.is_neg()
    plain = torch.from_numpy(Q)
    for _ in range(3):
        flashc.attention(plain, plain, plain)
        for arrays in ((negated, plain, plain), (plain, plain, negated)):
            with pytest.raises(TypeError, match="resolve_neg"):
                flashc.attention(*arrays)
