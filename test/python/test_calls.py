"""flashc.attention and kernels as objects: results of every framework, and every wrong call's message."""

import json

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import torch

import flashc

RNG = np.random.default_rng(0)
Q = RNG.standard_normal((2, 4, 9, 16), np.float32)
K = RNG.standard_normal((2, 2, 11, 16), np.float32)
V = RNG.standard_normal((2, 2, 11, 8), np.float32)
OUT, LSE = flashc.reference(Q, K, V)


def close(result, expected=OUT, bound=1e-5):
    return np.abs(np.asarray(result, np.float64) - expected).max() < bound


def test_numpy():
    out, lse = flashc.attention(Q, K, V, return_lse=True)
    assert type(out) is type(lse) is np.ndarray
    assert out.dtype == lse.dtype == np.float32
    assert out.flags.c_contiguous
    assert close(out)
    assert close(lse, LSE)


def test_numpy_bf16():
    out = flashc.attention(*(x.astype(ml_dtypes.bfloat16) for x in (Q, K, V)))
    assert out.dtype == ml_dtypes.bfloat16
    assert close(out, bound=3e-2)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_torch(dtype):
    out, lse = flashc.attention(*(torch.from_numpy(x).to(dtype) for x in (Q, K, V)), return_lse=True)
    assert type(out) is torch.Tensor
    assert out.dtype == dtype
    assert lse.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert close(out.double().numpy(), bound=3e-2)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float16, jnp.bfloat16], ids=lambda d: d.__name__)
def test_jax(dtype):
    out, lse = flashc.attention(*(jnp.asarray(x, dtype) for x in (Q, K, V)), return_lse=True)
    assert type(out) is type(jnp.zeros(1))
    assert out.dtype == dtype
    assert lse.dtype == jnp.float32
    assert close(out, bound=3e-2)


def test_jax_results_outlive_the_call():
    kept = [flashc.attention(*(jnp.asarray(x) for x in (Q, K, V))) for _ in range(20)]
    assert all(close(out) for out in kept)


def test_other_producers_get_numpy_arrays():
    class Producer:
        def __init__(self, array):
            self.array = array

        def __dlpack__(self, **options):
            return self.array.__dlpack__(**options)

        def __dlpack_device__(self):
            return self.array.__dlpack_device__()

    out = flashc.attention(Producer(Q), Producer(K), Producer(V))
    assert isinstance(out, np.ndarray)
    assert close(out)


def test_the_result_is_of_the_kind_of_q():
    out = flashc.attention(torch.from_numpy(Q), K, jnp.asarray(V))
    assert type(out) is torch.Tensor
    assert close(out)


def test_parameters_under_no_grad():
    q = torch.nn.Parameter(torch.from_numpy(Q))
    with torch.no_grad():
        assert close(flashc.attention(q, torch.from_numpy(K), torch.from_numpy(V)))
    with pytest.raises(TypeError, match="requires no gradient"):
        flashc.attention(q, torch.from_numpy(K), torch.from_numpy(V))


def test_read_only_inputs():
    q, k, v = Q.copy(), K.copy(), V.copy()
    for x in (q, k, v):
        x.flags.writeable = False
    assert close(flashc.attention(q, k, v))


def test_bshd():
    q, k, v = (np.ascontiguousarray(x.transpose(0, 2, 1, 3)) for x in (Q, K, V))
    out, lse = flashc.attention(q, k, v, layout="bshd", return_lse=True)
    assert out.shape == (2, 9, 4, 8)
    assert out.flags.c_contiguous
    assert close(out.transpose(0, 2, 1, 3))
    assert close(lse, LSE)


@pytest.mark.parametrize("make", [np.zeros, torch.zeros], ids=["numpy", "torch"])
def test_out(make):
    out = make((2, 4, 9, 8), dtype=np.float32 if make is np.zeros else torch.float32)
    result, lse = flashc.attention(Q, K, V, out=out, return_lse=True)
    assert result is out
    assert close(out)
    assert close(lse, LSE)


def test_out_with_strides():
    memory = np.zeros((2, 9, 4, 16), np.float32)
    out = memory[..., ::2].transpose(0, 2, 1, 3)
    flashc.attention(Q, K, V, out=out)
    assert close(out)
    assert (memory[..., 1::2] == 0).all()


def test_out_in_bshd():
    out = np.zeros((2, 9, 4, 8), np.float32)
    flashc.attention(*(x.transpose(0, 2, 1, 3) for x in (Q, K, V)), layout="bshd", out=out)
    assert close(out.transpose(0, 2, 1, 3))


def wrong(error, message, **change):
    arguments = {"q": Q, "k": K, "v": V, **change}
    q, k, v = (arguments.pop(name) for name in "qkv")
    return pytest.param(error, message, (q, k, v), arguments, id=message[:40])


@pytest.mark.parametrize(
    "error, message, arrays, options",
    [
        wrong(TypeError, r"q: expected an array with __dlpack__ .* got list", q=[[1.0]]),
        wrong(TypeError, r"k: expected an array .* got NoneType", k=None),
        wrong(TypeError, r"q: expected elements of f64, f32, f16 or bf16, got i64", q=Q.astype(int)),
        wrong(TypeError, r"k: expected elements of f32 as in q, got f64", k=K.astype(float)),
        wrong(TypeError, r"v: expected elements of f32 as in q, got f16", v=V.astype(np.float16)),
        wrong(ValueError, r"q: expected 4 dimensions \(batch, heads, length, head dim\), got 3: \(4, 9, 16\)", q=Q[0]),
        wrong(ValueError, r"v: expected 4 dimensions", v=V[None]),
        wrong(ValueError, r"k: expected batch 2 as in q, got 1", k=K[:1]),
        wrong(ValueError, r"v: expected batch 2 as in q, got 1", v=V[:1]),
        wrong(ValueError, r"k: expected head dim 16 as in q, got 12", k=K[..., :12]),
        wrong(ValueError, r"v: expected number of heads 2 as in k, got 1", v=V[:, :1]),
        wrong(ValueError, r"v: expected length 11 as in k, got 10", v=V[:, :, :10]),
        wrong(ValueError, r"q: expected a number of heads that is a multiple of the 2 heads of k, got 3", q=Q[:, :3]),
        wrong(ValueError, r"q: expected a head dim of at least 1, got shape \(2, 4, 9, 0\)", q=Q[..., :0]),
        wrong(ValueError, r"layout: expected 'bhsd' or 'bshd', got 'bsd'", layout="bsd"),
        wrong(ValueError, r"k: expected batch 2", k=K[:1], layout="bshd"),
        wrong(TypeError, r"layout: expected a string, got int", layout=3),
        wrong(TypeError, r"scale: expected a number or None, got str", scale="big"),
        wrong(ValueError, r"scale: expected a finite number, got nan", scale=float("nan")),
        wrong(ValueError, r"softcap: expected a number above 0, got 0", softcap=0),
        wrong(ValueError, r"softcap: expected a number above 0, got -2", softcap=-2),
        wrong(TypeError, r"tiles: expected None or a tuple \(queries, keys\), got 3", tiles=3),
        wrong(ValueError, r"tiles: expected at least 1 query and 1 key, got \(0, 8\)", tiles=(0, 8)),
        wrong(TypeError, r"bias: expected an array", bias=0.5),
        wrong(TypeError, r"bias: expected elements of f64, f32, f16 or bf16, got i64", bias=np.zeros((9, 11), int)),
        wrong(TypeError, r"bias: expected elements no wider than f32, .* got f64", bias=np.zeros((9, 11))),
        wrong(ValueError, r"bias", bias=np.zeros((9, 12), np.float32)),
        wrong(ValueError, r"bias.*rank", bias=np.zeros((1, 2, 4, 9, 11), np.float32)),
        wrong(ValueError, r"target|cpu", target="quantum"),
        wrong(TypeError, r"target: expected a string, got NoneType", target=None),
        wrong(ValueError, r"key_lengths.*batch.*2.*got 3", mask=flashc.key_lengths(np.ones(3, np.int32))),
        wrong(ValueError, r"key_padding.*keys.*11.*got 9", mask=flashc.key_padding(np.ones((2, 9), bool))),
        wrong(ValueError, r"segments.*11.*got 9", mask=flashc.segments(np.ones((2, 9), np.int32))),
        wrong(ValueError, r"mask.*got 7", mask=flashc.tensor(np.ones((9, 7), bool))),
        wrong(ValueError, r"alignment", mask=flashc.causal("top_left") & flashc.causal("bottom_right")),
        wrong(TypeError, r"out: expected an array", out=3),
        wrong(TypeError, r"out.*f32.*f64", out=np.zeros((2, 4, 9, 8))),
        wrong(ValueError, r"out.*8.*got 16", out=np.zeros((2, 4, 9, 16), np.float32)),
        wrong(ValueError, r"out.*rank", out=np.zeros((4, 9, 8), np.float32)),
        wrong(ValueError, r"out: expected writable memory, got a read-only array", out=jnp.zeros((2, 4, 9, 8))),
        wrong(ValueError, r"out.*a place each", out=np.lib.stride_tricks.as_strided(
            np.zeros((2, 4, 1, 8), np.float32), (2, 4, 9, 8), (128, 32, 0, 4))),
        wrong(TypeError, r"score_mod: expected a function", score_mod=2),
        wrong(TypeError, r"mask_mod: expected a function", mask_mod=True),
    ],
)  # fmt: skip
def test_wrong_calls(error, message, arrays, options):
    with pytest.raises(error, match=message):
        flashc.attention(*arrays, **options)


def test_out_must_not_overlap():
    memory = np.zeros((2, 4, 9, 16), np.float32)
    with pytest.raises(ValueError, match="out: expected memory of its own, got memory that overlaps input 0"):
        flashc.attention(memory, memory[:, :2], memory[:, 2:], out=memory)


def test_a_kernel():
    kernel = flashc.compile(head_dim=16, value_head_dim=8, dtype="f32", return_lse=True)
    assert kernel.operands == ["q", "k", "v"]
    out, lse = kernel(Q, K, V)
    assert close(out)
    assert close(lse, LSE)
    assert "attention" in repr(kernel)
    info = kernel.info
    assert (info["dtype"], info["head_dim"], info["value_head_dim"]) == ("f32", 16, 8)
    json.dumps(info)


def test_a_kernel_with_operands():
    kernel = flashc.compile(
        head_dim=16, value_head_dim=8, mask=flashc.causal("bottom_right") & flashc.key_lengths(), bias=np.float32
    )
    assert [name for name in kernel.operands if name in "qkv"] == ["q", "k", "v"]
    assert len(kernel.operands) == 5
    lengths = np.array([11, 6], np.int32)
    bias = RNG.standard_normal((9, 11)).astype(np.float32)
    mask = flashc.causal("bottom_right") & flashc.key_lengths(lengths)
    expected, _ = flashc.reference(Q, K, V, mask=mask, bias=bias)
    assert close(kernel(Q, K, V, lengths, bias), expected)
    assert close(kernel(Q, K, V, lengths, bias=bias), expected)
    out = np.empty((2, 4, 9, 8), np.float32)
    assert kernel(Q, K, V, lengths, bias, out=out) is out
    with pytest.raises(TypeError, match=r"expected 5 operands \(q, k, v, .*, bias\), got 4"):
        kernel(Q, K, V, lengths)
    with pytest.raises(TypeError, match="expected element type i32, got i64"):
        kernel(Q, K, V, lengths.astype(np.int64), bias)


def test_a_kernel_checks_its_calls():
    kernel = flashc.compile(head_dim=16)
    with pytest.raises(ValueError, match="16, got 8"):
        kernel(Q, K[..., :8], V)
    with pytest.raises(TypeError, match="f32, got f64"):
        kernel(Q, K.astype(float), V)
    with pytest.raises(TypeError, match="compiled without one"):
        kernel(Q, K, bias=V)


def test_compile_for_bshd():
    kernel = flashc.compile(head_dim=16, value_head_dim=8, layout="bshd")
    out = kernel(*(x.transpose(0, 2, 1, 3) for x in (Q, K, V)))
    assert close(out.transpose(0, 2, 1, 3))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"head_dim": 0}, "head_dim: expected at least 1, got 0"),
        ({"head_dim": 8, "value_head_dim": -1}, "value_head_dim: expected at least 1, got -1"),
        ({"head_dim": 8, "dtype": "i32"}, "dtype: expected f64, f32, f16 or bf16, got 'i32'"),
        ({"head_dim": 8, "dtype": "float8"}, "dtype: expected one of f64, .*, got 'float8'"),
        ({"head_dim": 8, "bias": "i8"}, "bias: expected f64, f32, f16 or bf16, got 'i8'"),
        ({"head_dim": 8, "mask": "diagonal"}, "mask: expected one of"),
        ({"head_dim": 8, "target": "cpu:unheard-of"}, "unheard-of"),
        ({"head_dim": 8, "name": "not a name"}, "not a name"),
        ({"head_dim": 1 << 40}, "head dim"),
        ({"head_dim": 8, "softcap": 0.0}, "softcap: expected a number above 0"),
    ],
)
def test_wrong_compilations(options, message):
    with pytest.raises(ValueError, match=message):
        flashc.compile(**options)


def test_element_types_by_any_name():
    for dtype in ("f32", "float32", np.float32, np.dtype("float32"), torch.float32, jnp.float32):
        assert flashc.compile(head_dim=16, dtype=dtype).info["dtype"] == "f32"


def test_stages():
    kernel = flashc.compile(head_dim=16, mask=flashc.causal("top_left"))
    names = [name for name, _ in flashc.stages()]
    assert names[0] == "input"
    assert "attn.sdpa" in kernel.ir()
    assert "#attn.causal<top_left>" in kernel.ir("input")
    for name in names:
        assert kernel.ir(name)
    assert ".globl" in kernel.asm()
    with pytest.raises(ValueError, match=r"stage: expected one of input, .*, asm, got 'middle'"):
        kernel.ir("middle")


def test_save_and_load(tmp_path):
    kernel = flashc.compile(head_dim=16, value_head_dim=8, return_lse=True)
    kernel.save(tmp_path / "pack", name="mine")
    loaded = flashc.load(tmp_path / "pack")
    assert loaded.name == "mine"
    out, lse = loaded(Q, K, V)
    first, first_lse = kernel(Q, K, V)
    assert np.array_equal(out, first)
    assert np.array_equal(lse, first_lse)
    with pytest.raises(ValueError, match="holds no IR"):
        loaded.ir()
    with pytest.raises(ValueError, match="copy that folder"):
        loaded.save(tmp_path / "again")


def test_load_what_is_no_pack(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        flashc.load(tmp_path / "nowhere")
    (tmp_path / "kernel.json").write_text("{")
    with pytest.raises(ValueError, match=r"kernel\.json"):
        flashc.load(tmp_path)


def test_save_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    kernel = flashc.compile(head_dim=16, value_head_dim=8, return_lse=True)
    with pytest.raises(OSError, match="file"):
        kernel.save(tmp_path / "file" / "pack")


def test_a_module_from_text():
    text = flashc.compile(head_dim=16, value_head_dim=8, name="main").ir()
    module = flashc.compile_module(text)
    assert close(module.main(Q, K, V))


def test_a_module_from_a_file(tmp_path):
    path = tmp_path / "attention.mlir"
    path.write_text(flashc.compile(head_dim=16, value_head_dim=8, name="main").ir())
    assert close(flashc.compile_module(path).main(Q, K, V))


WHOLE = """
func.func @main(%a: tensor<4x8xf32>, %b: tensor<8x5xf32>) -> tensor<4x5xf32> {
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<4x5xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<4x5xf32>) -> tensor<4x5xf32>
  %0 = linalg.matmul ins(%a, %b : tensor<4x8xf32>, tensor<8x5xf32>) outs(%init : tensor<4x5xf32>) -> tensor<4x5xf32>
  return %0 : tensor<4x5xf32>
}
"""


def test_a_module_without_attention():
    a, b = RNG.standard_normal((4, 8), np.float32), RNG.standard_normal((8, 5), np.float32)
    module = flashc.compile_module(WHOLE)
    assert close(module.main(a, b), a @ b)
    assert close(module.main(torch.from_numpy(a), torch.from_numpy(b)).numpy(), a @ b)
    with pytest.raises(
        ValueError, match=r'"in0": expected C-contiguous memory, got strides \(1, 4\) for shape \(4, 8\)'
    ):
        module.main(np.asfortranarray(a), b)


def test_a_module_with_many_operands():
    count = 60
    names = [f"%x{i}" for i in range(count)]
    sums = "\n".join(
        f"  %s{i + 1} = linalg.add ins(%s{i}, %x{i + 1} : tensor<3xf32>, tensor<3xf32>) "
        f"outs(%x{i + 1} : tensor<3xf32>) -> tensor<3xf32>"
        for i in range(count - 1)
    ).replace("%s0,", "%x0,")
    arguments = ", ".join(f"{name}: tensor<3xf32>" for name in names)
    text = f"func.func @main({arguments}) -> tensor<3xf32> {{\n{sums}\n  return %s{count - 1} : tensor<3xf32>\n}}"
    arrays = [np.full(3, i, np.float32) for i in range(count)]
    assert (flashc.compile_module(text).main(*arrays) == sum(range(count))).all()


@pytest.mark.parametrize(
    "text, message",
    [
        ("module {\n  func.func @main() { oops }\n}", "module:2:"),
        ("module {}", "found none"),
        ("func.func @main(%x: memref<2xcomplex<f32>>) { return }", "complex"),
    ],
)  # fmt: skip
def test_wrong_modules(text, message):
    with pytest.raises(ValueError, match=message):
        flashc.compile_module(text).main()


def test_a_module_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        flashc.compile_module(tmp_path / "nothing.mlir")


def test_thread_counts():
    with pytest.raises(ValueError, match="1024"):
        flashc.set_num_threads(-1)
    flashc.set_num_threads(3)
    assert flashc.get_num_threads() == 3
    flashc.set_num_threads(0)


def test_doctor(capsys):
    report = flashc.doctor()
    printed = capsys.readouterr().out
    for name in ("flashc", "compiler", "cpu", "host target", "threads", "cache", "gpus"):
        assert report[name]
        assert name in printed


def test_cache_info():
    info = flashc.cache_info()
    assert set(info) == {"compiled", "from_disk", "in_memory"}
    assert flashc.compile_count() == info["compiled"] + info["from_disk"]
