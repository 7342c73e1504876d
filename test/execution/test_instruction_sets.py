"""The same results on every instruction set that this machine has."""

import subprocess
from functools import cache

import numpy as np
import pytest
from cases import Case, build, call, judge, run

import flashc

LEVELS = {
    "cpu:x86-64": (),
    "cpu:x86-64-v3": ("avx2", "fma", "bmi2", "f16c"),
    "cpu:x86-64-v4": ("avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512cd"),
    "cpu:x86-64-v4,+avx512bf16": ("avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512cd", "avx512_bf16"),
    "cpu:x86-64-v4,+amx-bf16": ("avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512cd", "amx_tile", "amx_bf16"),
    "cpu": (),
}


@cache
def cpu_flags() -> frozenset[str]:
    done = subprocess.run(["grep", "-m1", "^flags", "/proc/cpuinfo"], capture_output=True, text=True, check=False)
    return frozenset(done.stdout.split())


@pytest.fixture(params=LEVELS)
def target(request):
    missing = [flag for flag in LEVELS[request.param] if flag not in cpu_flags()]
    if missing:
        pytest.skip(f"{request.param} needs {', '.join(missing)}, which this machine lacks")
    return request.param


@pytest.mark.parametrize("dtype", ["f32", "f64", "bf16", "f16"])
@pytest.mark.parametrize("D", [1, 24, 59, 64, 128])
def test_head_dims(target, D, dtype):
    run(Case(target=target, dtype=dtype, D=D, Sq=45, Sk=130, Hq=4, masks=("causal_br",)))


@pytest.mark.parametrize(
    "options",
    [
        {"masks": ("window", "key_lengths")},
        {"masks": ("segments", "tensor")},
        {"softcap": 3.0, "bias": (True, False, False, False)},
        {"score_mod": "alibi"},
        {"score_mod": "minus_inf", "mask_mod": "stripes"},
        {"strides": "negative"},
        {"strides": "fused"},
        {"Dv": 24},
    ],
    ids=str,
)
def test_options(target, options):
    run(Case(target=target, D=40, B=2, Sq=90, Sk=140, **options))


@pytest.mark.parametrize(("D", "Sk"), [(7, 129), (63, 63), (80, 513), (111, 31)])
@pytest.mark.parametrize("lse", [False, True])
def test_bf16_products(target, D, Sk, lse):
    """Odd head dimensions and odd numbers of keys, with every bit of the exponential and with those that bf16 keeps."""
    run(Case(target=target, dtype="bf16", D=D, Sq=50, Sk=Sk, Hq=4, lse=lse))
    run(
        Case(
            target=target,
            dtype="bf16",
            D=D,
            Sq=50,
            Sk=Sk,
            masks=("causal_br", "key_lengths"),
            lse=lse,
            strides="padded",
        )
    )


@pytest.mark.parametrize("dtype", ["bf16", "f16"])
@pytest.mark.parametrize(("D", "valid"), [(64, 77), (33, 64), (40, 1)])
@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_masked_keys_hold_anything(target, dtype, D, valid, poison):
    """A masked key beside an attended one in a pair: neither its key nor its value reaches a result."""
    case = Case(target=target, dtype=dtype, D=D, Sq=20, Sk=130, masks=("key_padding",))
    inputs = build(case)
    rng = np.random.default_rng(valid)
    keep = np.zeros((case.B, case.Sk), bool)
    keep[:, rng.permutation(case.Sk)[:valid]] = True
    inputs.problem.masks[0].arrays[0][...] = keep
    for x in inputs.arrays[1:]:
        x.setflags(write=True)
        x[:, :, ~keep[0]] = poison
    inputs.problem.k, inputs.problem.v = inputs.arrays[1:]
    out, lse = call(case, inputs)
    judge(case, inputs.problem, out, lse)


def test_levels_agree():
    case = Case(D=64, Sq=100, Sk=300)
    inputs = build(case)
    results = []
    for level, flags in LEVELS.items():
        if all(flag in cpu_flags() for flag in flags):
            out, _ = call(Case(**{**vars(case), "target": level}), inputs)
            results.append(out)
    for out in results[1:]:
        np.testing.assert_allclose(out, results[0], rtol=0, atol=1e-6)


def test_a_level_that_the_machine_lacks_is_refused():
    if "avx512f" in cpu_flags() and "amx_tile" in cpu_flags():
        pytest.skip("this machine has every instruction set that flashc knows")
    lacking = "cpu:sapphirerapids" if "avx512f" in cpu_flags() else "cpu:x86-64-v4"
    x = np.zeros((1, 1, 4, 8), np.float32)
    with pytest.raises(RuntimeError, match="lacks what the kernel needs"):
        flashc.attention(x, x, x, target=lacking)
