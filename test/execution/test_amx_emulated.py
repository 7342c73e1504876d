"""Attention in AMX tiles against the float64 definition: by the machine where it has them, by the emulator where not.

The emulator checks each instruction against the manual's conditions; besides, no thread may keep its tiles after a call.
"""

import numpy as np
import pytest
from amx import emulator, flags, has_tiles, load, target
from cases import Case, build, call, flashc_mask, judge
from oracle import DTYPES, Problem, attention

import flashc

NEEDED = {"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512cd", "fma"}
pytestmark = pytest.mark.skipif(
    not flags() >= NEEDED, reason="kernels with tiles use AVX-512 beside them, which this machine lacks"
)

CASES = {
    "plain": Case(),
    "odd lengths": Case(Sq=201, Sk=1025),
    "one query": Case(Sq=1, Sk=700),
    "one key": Case(Sq=130, Sk=1),
    "no keys": Case(Sq=3, Sk=0),
    "17 and 33": Case(Sq=17, Sk=33),
    "several tiles": Case(Sq=300, Sk=600, Hq=1, Hkv=1),
    "grouped heads": Case(B=2, Hq=6, Hkv=2, Sq=140, Sk=90),
    "causal top left": Case(Sq=300, Sk=400, masks=("causal_tl",)),
    "causal bottom right": Case(Sq=300, Sk=200, masks=("causal_br",)),
    "window": Case(Sq=300, Sk=600, masks=("window",)),
    "key lengths": Case(B=3, Sq=70, Sk=300, masks=("key_lengths",)),
    "segments": Case(B=2, Sq=150, Sk=150, masks=("segments",)),
    "key padding": Case(B=2, Sq=90, Sk=280, masks=("key_padding",)),
    "tensor": Case(Sq=70, Sk=290, masks=("tensor",)),
    "softcap and bias": Case(Sq=70, Sk=130, softcap=3.0, bias=(True, False, False, False)),
    "score function": Case(Sq=90, Sk=140, score_mod="alibi"),
    "mask function": Case(Sq=90, Sk=140, mask_mod="stripes"),
    "fused": Case(B=2, Sq=90, Sk=140, strides="fused"),
    "padded": Case(Sq=90, Sk=140, strides="padded"),
    "transposed": Case(Sq=90, Sk=140, strides="transposed"),
    "bshd": Case(B=2, Sq=90, Sk=140, strides="bshd"),
    "no lse": Case(Sq=200, Sk=300, lse=False),
}


class Runner:
    """Calls a case on the machine's tiles, or on the emulator's."""

    def __init__(self, folder):
        self.folder = folder
        self.emulator = None if has_tiles() else emulator(folder)
        self.kernels = {}

    def kernel(self, case: Case, mask, problem) -> flashc.Kernel:
        options = {
            "head_dim": case.D, "value_head_dim": case.value_dim, "dtype": "bf16", "mask": mask, "scale": case.scale,
            "softcap": case.softcap, "bias": None if problem.bias is None else "bf16", "score_mod": problem.score_mod,
            "mask_mod": problem.mask_mod, "return_lse": case.lse, "target": target(), "name": "k",
        }  # fmt: skip
        key = repr({**options, "mask": mask and (mask.text, mask.dtypes)})
        if key not in self.kernels:
            self.kernels[key] = load(flashc.compile(**options), self.folder / f"pack{len(self.kernels)}")
        return self.kernels[key]

    def __call__(self, case: Case, inputs) -> tuple[np.ndarray, np.ndarray | None]:
        if self.emulator is None:
            return call(Case(**{**vars(case), "target": target()}), inputs)
        p = inputs.problem
        mask = flashc_mask(p.masks)
        kernel = self.kernel(case, mask, p)
        # A loaded pack takes (batch, heads, length, dim) with any strides.
        arrays = [x.transpose(0, 2, 1, 3) for x in inputs.arrays] if inputs.layout == "bshd" else inputs.arrays
        self.emulator.reset()
        result = kernel(*arrays, *(mask.arrays if mask else ()), bias=p.bias)
        products = self.emulator.check()
        # Few rows are attended by vectors, at the speed of memory.
        assert products > 0 or case.Sq < 64 or case.work == 0, "no product was done in tiles"
        return result if case.lse else (result, None)

    def judge(self, case: Case) -> None:
        inputs = build(case)
        out, lse = self(case, inputs)
        assert out.dtype == DTYPES["bf16"]
        judge(case, inputs.problem, out, lse)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return Runner(tmp_path_factory.mktemp("amx"))


@pytest.mark.parametrize("masks", [(), ("causal_br",)], ids=str)
@pytest.mark.parametrize("D", [1, 8, 24, 40, 59, 64, 80, 88, 96, 111, 128, 256])
def test_head_dims(run, D, masks):
    run.judge(Case(dtype="bf16", D=D, Sq=100, Sk=340, masks=masks))


@pytest.mark.parametrize("dims", [(64, 24), (24, 128), (59, 1), (192, 128)], ids=str)
def test_values_of_another_dim(run, dims):
    run.judge(Case(dtype="bf16", D=dims[0], Dv=dims[1], Sq=70, Sk=300))


@pytest.mark.parametrize("name", CASES)
def test_options(run, name):
    run.judge(Case(**{**vars(CASES[name]), "dtype": "bf16"}))


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf], ids=str)
@pytest.mark.parametrize("mask", ["causal_tl", "key_lengths", "segments", "window"])
def test_masked_keys_do_not_leak(run, mask, poison):
    """What no query attends changes no bit."""
    case = Case(dtype="bf16", B=2, Sq=70, Sk=290, D=40, masks=(mask,))
    inputs = build(case)
    p = inputs.problem
    if mask == "segments":
        p.masks[0].arrays[1][:, 80:] = 9  # a document that no query belongs to
    attends = attention(Problem(p.q, p.k, np.broadcast_to(np.eye(290), (2, 2, 290, 290)), masks=p.masks))[0] != 0
    unused = ~attends.any(axis=(1, 2))
    assert unused.any()
    clean = run(case, inputs)
    q, k, v = (np.array(x) for x in inputs.arrays)
    for b in range(2):
        k[b][:, unused[b]] = poison
        v[b][:, unused[b]] = poison
    inputs.arrays = (q, k, v)
    for x, y in zip(clean, run(case, inputs)):
        assert np.array_equal(x, y)


def test_keys_masked_for_some_queries_do_not_leak_into_them(run):
    """Under a causal mask the last key is attended by the last query alone."""
    case = Case(dtype="bf16", Sq=70, Sk=70, D=40, masks=("causal_tl",), lse=False)
    inputs = build(case)
    clean, _ = run(case, inputs)
    q, k, v = (np.array(x) for x in inputs.arrays)
    v[:, :, 33] = np.nan
    inputs.arrays = (q, k, v)
    out, _ = run(case, inputs)
    assert np.array_equal(out[:, :, :33], clean[:, :, :33])
    assert np.isnan(out[:, :, 33:].astype(np.float32)).all()


def test_the_bits_do_not_depend_on_the_run(run):
    case = Case(dtype="bf16", B=2, Hq=4, Hkv=4, Sq=300, Sk=300)
    inputs = build(case)
    first, second = run(case, inputs), run(case, inputs)
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])
