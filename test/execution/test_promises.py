"""What holds beside the numbers: no leak, no overflow, the same bits, O(N) memory, no needless compilation."""

import subprocess
import sys
import threading

import numpy as np
import pytest
from cases import Case, build, call, flashc_mask
from oracle import DTYPES, Problem, attention

import flashc

CAUSAL = flashc.causal("top_left")


def draw(*shape, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["f32", "f64", "bf16", "f16"])
@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf], ids=str)
@pytest.mark.parametrize("mask", ["causal_tl", "key_lengths", "key_padding", "segments", "tensor_row", "window"])
def test_masked_keys_do_not_leak(mask, poison, dtype):
    """NaN and Inf in keys and values that no query attends change no bit."""
    case = Case(dtype=dtype, B=2, Sq=40, Sk=90, D=24, masks=(mask,))
    inputs = build(case)
    p = inputs.problem
    if mask == "tensor_row":
        p.masks[0].arrays[0][..., 30:60] = 0
    if mask == "segments":
        p.masks[0].arrays[1][:, 80:] = 9  # a document that no query belongs to
    attends = attention(Problem(p.q, p.k, np.broadcast_to(np.eye(90), (2, 2, 90, 90)), masks=p.masks))[0] != 0
    unused = ~attends.any(axis=(1, 2))
    assert unused.any()
    q, k, v = (np.array(x) for x in inputs.arrays)
    clean = flashc.attention(q, k, v, mask=flashc_mask(p.masks), return_lse=True)
    for b in range(2):
        k[b][:, unused[b]] = poison
        v[b][:, unused[b]] = poison
    poisoned = flashc.attention(q, k, v, mask=flashc_mask(p.masks), return_lse=True)
    for x, y in zip(clean, poisoned):
        assert np.array_equal(x, y)


@pytest.mark.parametrize("poison", [np.nan, np.inf], ids=str)
def test_keys_masked_for_some_queries_do_not_leak_into_them(poison):
    """Under a causal mask the last key is attended by the last query alone."""
    q, k, v = draw(1, 2, 70, 24), draw(1, 2, 70, 24, seed=1), draw(1, 2, 70, 24, seed=2)
    clean = flashc.attention(q, k, v, mask=CAUSAL)
    k[:, :, 33] = poison
    v[:, :, 33] = poison
    out = flashc.attention(q, k, v, mask=CAUSAL)
    assert np.array_equal(out[:, :, :33], clean[:, :, :33])
    assert np.isnan(out[:, :, 33:]).all()


def test_mask_mod_does_not_leak():
    q, k, v = draw(1, 1, 30, 24), draw(1, 1, 40, 24, seed=1), draw(1, 1, 40, 24, seed=2)
    clean = flashc.attention(q, k, v, mask_mod=lambda b, h, i, j: j != 7, softcap=3.0)
    k[:, :, 7] = v[:, :, 7] = np.nan
    assert np.array_equal(clean, flashc.attention(q, k, v, mask_mod=lambda b, h, i, j: j != 7, softcap=3.0))


def test_nan_in_an_attended_value_is_seen():
    q, k, v = draw(1, 1, 30, 24), draw(1, 1, 40, 24, seed=1), draw(1, 1, 40, 24, seed=2)
    v[0, 0, 11, 5] = np.nan
    out = flashc.attention(q, k, v)
    assert np.isnan(out[..., 5]).all()
    assert np.isfinite(np.delete(out, 5, axis=-1)).all()


@pytest.mark.parametrize("dtype", ["f32", "f64", "bf16"])
def test_large_scores_do_not_overflow(dtype):
    case = Case(dtype=dtype, Sq=40, Sk=60, D=24, scale=50.0)
    inputs = build(case)
    out, lse = call(case, inputs)
    assert np.isfinite(out.astype(np.float64)).all()
    assert np.isfinite(lse).all()


def sparse(elements, dtype=np.float32):
    """Memory of many elements of which only the touched pages exist."""
    return np.zeros(elements, dtype)


@pytest.mark.parametrize("where", ["batch", "head", "length", "dim"])
def test_views_that_cross_two_to_the_31_elements(where):
    """Strides so large that 32-bit offsets would wrap; only touched pages take memory."""
    B, H, S, D = 2, 2, 5, 4
    stride = {"batch": [2**31 + 7, 64, 8, 1], "head": [64, 2**31 + 7, 8, 1], "length": [64, 16, 2**29 + 3, 1],
              "dim": [64, 32, 4, 2**30 + 1]}[where]  # fmt: skip
    sizes = (B, H, S, D)
    span = sum((n - 1) * s for n, s in zip(sizes, stride)) + 1
    assert span > 2**31
    memory = sparse(span)

    def strided(values):
        view = np.lib.stride_tricks.as_strided(memory, sizes, [s * 4 for s in stride])
        view[...] = values
        return view

    q, k, v = draw(*sizes), draw(*sizes, seed=1), draw(*sizes, seed=2)
    expected = flashc.attention(q, k, v, mask=CAUSAL)
    assert np.array_equal(flashc.attention(strided(q), k, v, mask=CAUSAL), expected)
    assert np.array_equal(flashc.attention(q, strided(k), v, mask=CAUSAL), expected)
    assert np.array_equal(flashc.attention(q, k, strided(v), mask=CAUSAL), expected)
    out = strided(0)
    assert flashc.attention(q, k, v, mask=CAUSAL, out=out) is out
    assert np.array_equal(out, expected)


@pytest.mark.parametrize("tiles", [None, (24, 512), (8, 64)], ids=str)
@pytest.mark.parametrize("lengths", [(300, 500), (1, 3000), (7, 900)], ids=str)
@pytest.mark.parametrize("dtype", ["f32", "f64", "bf16", "f16"])
def test_runs_and_thread_counts_give_the_same_bits(dtype, lengths, tiles):
    """With fixed tiles, and with those that the model or a tuning entry chooses, however many share the work."""
    Sq, Sk = lengths
    q, k, v = (
        x.astype(DTYPES[dtype]) for x in (draw(2, 4, Sq, 64), draw(2, 2, Sk, 64, seed=1), draw(2, 2, Sk, 64, seed=2))
    )
    options = {"mask": flashc.causal("bottom_right"), "return_lse": True, "tiles": tiles}
    first = flashc.attention(q, k, v, **options)
    try:
        for threads in (1, 2, 3, 5, 8):
            flashc.set_num_threads(threads)
            assert flashc.get_num_threads() == threads
            for _ in range(2):
                again = flashc.attention(q, k, v, **options)
                assert np.array_equal(first[0], again[0])
                assert np.array_equal(first[1], again[1])
    finally:
        flashc.set_num_threads(0)


def test_strides_do_not_change_the_bits():
    q, k, v = draw(2, 2, 100, 40), draw(2, 2, 90, 40, seed=1), draw(2, 2, 90, 40, seed=2)
    first = flashc.attention(q, k, v)
    turned = [np.ascontiguousarray(x.transpose(0, 2, 1, 3)).transpose(0, 2, 1, 3) for x in (q, k, v)]
    assert np.array_equal(first, flashc.attention(*turned))
    assert np.array_equal(first, flashc.attention(*(x[:, :, :, ::-1].copy()[:, :, :, ::-1] for x in (q, k, v))))


def test_many_threads_call_at_once():
    q, k, v = draw(1, 2, 200, 64), draw(1, 2, 200, 64, seed=1), draw(1, 2, 200, 64, seed=2)
    expected = flashc.attention(q, k, v)
    wrong = []

    def work():
        for _ in range(10):
            if not np.array_equal(flashc.attention(q, k, v), expected):
                wrong.append(True)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_many_threads_ask_for_a_kernel_at_once():
    x = draw(1, 1, 20, 13)
    before = flashc.compile_count()
    threads = [threading.Thread(target=lambda: flashc.attention(x, x, x, scale=0.321)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert flashc.compile_count() == before + 1


def test_the_gil_is_free_while_a_kernel_runs():
    x = draw(1, 4, 2000, 64)
    flashc.attention(x, x, x)
    counted = 0
    done = threading.Event()

    def work():
        for _ in range(3):
            flashc.attention(x, x, x)
        done.set()

    thread = threading.Thread(target=work)
    thread.start()
    while not done.is_set():
        counted += 1
    thread.join()
    assert counted > 1000


def test_new_sizes_compile_nothing():
    x = draw(1, 2, 30, 32)
    flashc.attention(x, x, x, mask=flashc.causal("bottom_right"))
    before = flashc.compile_count()
    for B, Hq, Hkv, Sq, Sk in [
        (1, 2, 2, 31, 30),
        (3, 4, 2, 1, 700),
        (2, 1, 1, 512, 512),
        (1, 8, 1, 0, 5),
        (2, 2, 2, 3, 0),
    ]:
        q, k = draw(B, Hq, Sq, 32), draw(B, Hkv, Sk, 32)
        flashc.attention(q, k, k, mask=flashc.causal("bottom_right"))
        flashc.attention(
            q.transpose(0, 2, 1, 3), k.transpose(0, 2, 1, 3), k.transpose(0, 2, 1, 3), layout="bshd",
            mask=flashc.causal("bottom_right"),
        )  # fmt: skip
    assert flashc.compile_count() == before
    flashc.attention(x, x, x, mask=flashc.causal("top_left"))
    assert flashc.compile_count() == before + 1


def test_new_mask_arrays_compile_nothing():
    x = draw(2, 2, 30, 32)
    flashc.attention(x, x, x, mask=flashc.key_lengths(np.array([3, 4], np.int32)))
    before = flashc.compile_count()
    flashc.attention(x, x, x, mask=flashc.key_lengths(np.array([30, 0], np.int32)))
    assert flashc.compile_count() == before


MEMORY_PROBE = """
import resource, sys
import numpy as np
import flashc

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

S = 16384
x = np.random.default_rng(0).standard_normal((1, 1, S, 16), np.float32)
kind = sys.argv[1]
mask = {
    "none": None,
    "causal": flashc.causal("bottom_right"),
    "segments": flashc.segments(np.sort(np.random.default_rng(1).integers(0, 9, (1, S)).astype(np.int32))),
    "score_mod": None,
}[kind]
mod = (lambda s, b, h, i, j: s - 0.01 * abs(i - j)) if kind == "score_mod" else None
small = x[:, :, :64]
small_mask = mask if kind != "segments" else flashc.segments(np.zeros((1, 64), np.int32))
flashc.attention(small, small, small, mask=small_mask, score_mod=mod)
before = peak()
flashc.attention(x, x, x, mask=mask, score_mod=mod)
print(peak() - before)
"""


@pytest.mark.parametrize("kind", ["none", "causal", "segments", "score_mod"])
def test_memory_is_linear(kind):
    """At 16,384 tokens the scores would take 1 GiB; a call takes a small multiple of its inputs' 1 MiB."""
    done = subprocess.run([sys.executable, "-c", MEMORY_PROBE, kind], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 48 << 20


def test_a_forked_child_computes():
    x = draw(1, 4, 300, 32)
    expected = flashc.attention(x, x, x)
    import os

    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(flashc.attention(x, x, x), expected) else 1)
    assert os.waitpid(child, 0)[1] == 0
