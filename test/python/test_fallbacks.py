"""What runs slower than it could says so: a warning once, a list, doctor(). Cases with a fake driver run in processes of their
own: this file, called with the case's name."""

import json
import sys
import warnings
from pathlib import Path

import pytest
from gpu_arrays import FAKES, Array, belong_to_a_framework, cases, inputs, run_alone, set_gpus

import flashc


def said(*arrays, **options):
    """The fall-backs that a call warns of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        flashc.attention(*arrays, **options)
    assert all(warning.category is flashc.FallbackWarning for warning in caught)
    return [str(warning.message) for warning in caught]


def case_whole_pieces_have_nothing_to_say():
    belong_to_a_framework()
    assert said(*inputs()) == []
    assert flashc.fallbacks() == []
    assert flashc.doctor(print_report=False)["fall-backs"] == "none so far"
    # One row may have any stride, and nothing is read of no keys.
    one = Array((1, 2, 1, 64), strides=(128, 64, 3, 1))
    assert said(one, *inputs()[1:]) == []
    none = Array((1, 2, 0, 64), offset=4)
    assert said(inputs()[0], none, none) == []


def case_rows_that_are_not_aligned():
    belong_to_a_framework()
    q, k, v = inputs()
    k = Array((1, 2, 40, 64), offset=4)
    v = Array((1, 2, 40, 64), strides=(2 * 40 * 65, 40 * 65, 65, 1), offset=1600)
    expected = "; expected elements side by side, rows, an address and strides of a multiple of 16 bytes"
    begin, end = "attention for nvptx:sm_80: ", " is read element by element and not sixteen bytes at a time: "
    texts = [
        f'{begin}"k"{end}it begins 4 bytes beyond a multiple of 16{expected}',
        f'{begin}"v"{end}its rows lie 260 bytes apart{expected}',
    ]
    assert said(q, k, v) == texts
    assert flashc.fallbacks() == texts
    assert flashc.doctor(print_report=False)["fall-backs"] == "; ".join(texts)
    assert said(q, k, v) == [], "each is said once"


def case_rows_of_an_odd_head_dim():
    belong_to_a_framework()
    q, k, v = (Array((1, 2, 40, 59), dtype="bf16") for _ in range(3))
    texts = said(q, k, v)
    assert [text.partition(": ")[2].partition(" is ")[0] for text in texts] == ['"q"', '"k"', '"v"', '"out"']
    assert all("its rows have 118 bytes" in text for text in texts)


def case_what_a_copy_engine_does_not_take():
    set_gpus(1, 90)
    belong_to_a_framework()
    q, k, v = inputs(dtype="bf16")
    q = Array((1, 2, 400, 64), dtype="bf16")
    assert said(q, k, v) == []
    one = Array((1, 2, 40, 64), dtype="bf16", strides=(2560, 0, 64, 1))
    assert said(q, one, v) == [
        'attention for nvptx:sm_90a: "k" is copied by threads and not by the copy engine (TMA): its heads lie 0 bytes apart; '
        "expected sizes below 2^31, and strides above 0 and below 2^40 bytes"
    ]


def case_a_warning_may_be_an_error():
    belong_to_a_framework()
    k = Array((1, 2, 40, 64), offset=4)
    with warnings.catch_warnings():
        warnings.simplefilter("error", flashc.FallbackWarning)
        with pytest.raises(flashc.FallbackWarning, match="4 bytes beyond a multiple of 16"):
            flashc.attention(k, k, k)


def a_fat_pack_on_the_cpu(folder):
    folder = Path(folder)
    flashc.compile(head_dim=32, name="fat").save(folder / "cpu")
    packs = [{"target": "nvptx:sm_90a", "path": "absent"}, {"target": "cpu", "path": "cpu"}]
    (folder / "kernel.json").write_text(json.dumps({"format": "flashc-fat-pack", "version": 1, "packs": packs}))
    with pytest.warns(
        flashc.FallbackWarning,
        match=r'fat for cpu: runs on cpu, as no device runs "nvptx:sm_90a"; .*no cuda device: turned off by FLASHC_CUDA',
    ):
        kernel = flashc.load(folder)
    assert kernel.target.startswith("cpu")


def a_kernel_that_is_not_tuned():
    import numpy as np

    x = np.zeros((1, 1, 20, 32), np.float32)
    flashc.tuning.set_tuning("first-use", 0.1)
    with pytest.warns(flashc.FallbackWarning, match="attention for emulated:gfx90a: was not tuned at its first use: "):
        flashc.attention(x, x, x, target="emulated:gfx90a")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        flashc.attention(x, x, x, target="emulated:gfx90a")


@pytest.mark.skipif(not FAKES["cuda"].exists(), reason="the fake driver is not built")
@pytest.mark.parametrize("case", cases(globals()))
def test_on_a_fake_gpu(case):
    run_alone(__file__, case, cuda=str(FAKES["cuda"]))


def test_a_fat_pack_on_the_cpu(tmp_path):
    run_alone(__file__, "a_fat_pack_on_the_cpu", argument=str(tmp_path))


def test_a_kernel_that_is_not_tuned():
    run_alone(__file__, "a_kernel_that_is_not_tuned")


def test_the_emulated_device_says_it_too():
    np = pytest.importorskip("numpy")
    generator = np.random.default_rng(5)
    q = generator.standard_normal((1, 1, 20, 32), np.float32)
    k = generator.standard_normal((1, 1, 24, 64), np.float32)
    kernel = flashc.compile(head_dim=32, target="emulated:gfx90a", name="strided")
    apart, beside = k[..., ::2], k[..., 1:33]
    with pytest.warns(
        flashc.FallbackWarning, match=r'"k" is read element by element .*elements of a row lie 8 bytes apart'
    ):
        out = kernel(q, apart, beside)
    assert np.abs(out - flashc.reference(q, apart, beside)[0]).max() < 1e-5
    # AMD's chips read pieces from anywhere.
    assert not any('strided for emulated:gfx90a: "v"' in text for text in flashc.fallbacks())


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
