"""Mask objects: their text, their arrays, and what is refused."""

import numpy as np
import pytest
import torch

import flashc
from flashc.masks import parse


@pytest.mark.parametrize(
    "mask, text",
    [
        (flashc.causal("top_left"), "causal(top_left)"),
        (flashc.causal("bottom_right"), "causal(bottom_right)"),
        (flashc.window(127, 0, "bottom_right"), "window(127,0,bottom_right)"),
        (flashc.window(left=-1, right=4, alignment="top_left"), "window(-1,4,top_left)"),
        (flashc.causal("bottom_right") & flashc.window(127, 0), "causal(bottom_right) & window(127,0,bottom_right)"),
        (flashc.window(127, 0) & flashc.prefix_lm(None, "top_left"), "window(127,0,top_left) & prefix_lm(top_left)"),
        (flashc.key_lengths() & flashc.key_padding(), "key_lengths & key_padding"),
        (flashc.segments() & flashc.tensor() & flashc.causal("top_left"), "segments & tensor & causal(top_left)"),
    ],
    ids=str,
)
def test_text(mask, text):
    assert mask.text == str(mask) == text
    assert parse(text) == parse(f"  {text.replace(' & ', '&')} ")
    assert parse(text).text == text


def test_arrays_are_the_operands_in_order():
    lengths, ids, flags = np.array([3, 4], np.int32), np.zeros((2, 5), np.int64), np.ones((2, 5), bool)
    mask = flashc.key_lengths(lengths) & flashc.causal("top_left") & flashc.segments(ids, ids) & flashc.tensor(flags)
    assert [id(array) for array in mask.arrays] == [id(lengths), id(ids), id(ids), id(flags)]
    assert mask.dtypes == ("i32", "i64", "i64", "bool")


def test_arrays_do_not_count_for_equality():
    a, b = flashc.key_lengths(np.array([1], np.int32)), flashc.key_lengths(np.array([2], np.int32))
    assert a == b
    assert hash(a) == hash(b)
    assert a != flashc.key_lengths(np.array([2], np.int64))
    assert a != flashc.causal("top_left")


def test_arrays_of_any_framework():
    assert flashc.key_padding(torch.ones(2, 3, dtype=torch.bool)).dtypes == ("bool",)
    assert flashc.segments(torch.zeros(2, 3, dtype=torch.int32)).dtypes == ("i32", "i32")


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: flashc.causal("left"), ValueError, "causal: expected alignment 'top_left' or 'bottom_right', got 'left'"),
        (lambda: flashc.causal(), TypeError, "alignment"),
        (lambda: flashc.window(-2, 0), ValueError, r"window: expected left to be -1 \(unbounded\) or at least 0, got -2"),
        (lambda: flashc.window(1.5, 0), TypeError, "window: expected left to be an integer, got float"),
        (lambda: flashc.window(1, True), TypeError, "window: expected right to be an integer, got bool"),
        (lambda: flashc.window(1, 2, "middle"), ValueError, "window: expected alignment .* got 'middle'"),
        (lambda: flashc.window(1, 2).text, ValueError, "window: expected alignment .* state none"),
        (
            lambda: (flashc.window(1, 2) & flashc.causal("top_left") & flashc.prefix_lm(None, "bottom_right")).text,
            ValueError,
            "window: expected alignment .* state bottom_right and top_left",
        ),
        (lambda: flashc.prefix_lm(), ValueError, "prefix_lm: expected alignment .* got None"),
        (lambda: flashc.key_lengths(np.ones(3)), TypeError, "key_lengths: expected lengths of element type i32 or i64, got f64"),
        (lambda: flashc.key_lengths(np.ones((3, 1), int)), ValueError, r"expected lengths of shape \(batch,\), got \(3, 1\)"),
        (lambda: flashc.key_padding(np.ones((3, 2))), TypeError, "key_padding: expected flags of element type bool or i8, got f64"),
        (lambda: flashc.key_padding(np.ones(3, bool)), ValueError, r"expected flags of shape \(batch, keys\), got \(3,\)"),
        (lambda: flashc.tensor(np.ones((3, 2))), TypeError, "tensor: expected mask of .* bool or i8, got f64; .* bias="),
        (lambda: flashc.tensor(np.ones((1,) * 5, bool)), ValueError, "expected mask of shape broadcastable"),
        (lambda: flashc.segments(None, np.zeros((1, 2), int)), TypeError, "segments: expected 2 arrays .* got 1"),
        (lambda: flashc.key_lengths([3]), TypeError, "key_lengths: lengths: expected an array"),
        (lambda: flashc.key_lengths(dtype="f32"), ValueError, "key_lengths: expected dtype i32 or i64, got 'f32'"),
        (lambda: flashc.causal("top_left") & 3, TypeError, "unsupported operand"),
        (lambda: parse("diagonal"), ValueError, "mask: expected one of causal, .*, got 'diagonal'"),
        (lambda: parse("causal"), ValueError, r"mask: expected causal\(top_left\) or causal\(bottom_right\), got 'causal'"),
        (lambda: parse("window(a,b)"), ValueError, "expected window.* with integers, got 'window\\(a,b\\)'"),
        (lambda: parse("window(1)"), ValueError, "expected window"),
        (lambda: parse("window(1,2,top_left,3)"), ValueError, "expected window"),
        (lambda: parse("key_lengths(3)"), ValueError, "expected key_lengths without arguments"),
        (lambda: parse("causal(top_left) &"), ValueError, "got ''"),
    ],
)  # fmt: skip
def test_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_what_a_mask_argument_may_be():
    q = np.zeros((1, 1, 2, 4), np.float32)
    for wrong in (np.ones((2, 2), bool), 3, ["causal"]):
        with pytest.raises(TypeError, match=r"mask: expected a flashc mask, a text or None, got .*flashc\.tensor"):
            flashc.attention(q, q, q, mask=wrong)
    with pytest.raises(TypeError, match=r"key_lengths: expected 1 arrays \(lengths\), got none"):
        flashc.attention(q, q, q, mask=flashc.key_lengths())
    with pytest.raises(TypeError, match="key_padding: expected 1 arrays"):
        flashc.attention(q, q, q, mask="key_padding")
