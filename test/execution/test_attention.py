"""Results of compiled kernels against the float64 definition: shapes, element types, masks, strides, all joined.

The quick profile runs a fixed list and a fixed draw; FLASHC_DEEP=1 draws anew and much more.
"""

import itertools

import pytest
from cases import HEAD_DIMS, LENGTHS, MASK_MODS, MASK_NAMES, SCORE_MODS, STRIDES, Case, run
from conftest import DEEP
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

DTYPES = ("f32", "f64", "bf16", "f16")
#: Multiply-adds of the largest drawn call; the oracle takes a second for it.
MOST_WORK = 2_000_000_000 if DEEP else 100_000_000


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("D", HEAD_DIMS)
def test_head_dims(D, dtype):
    run(Case(dtype=dtype, D=D, Sq=37, Sk=150))


@pytest.mark.parametrize("Sq", LENGTHS)
@pytest.mark.parametrize("Sk", LENGTHS)
def test_lengths(Sq, Sk):
    run(Case(D=24, Sq=Sq, Sk=Sk, Hq=1, Hkv=1))
    run(Case(D=24, Sq=Sq, Sk=Sk, Hq=1, Hkv=1, masks=("causal_br",)))


@pytest.mark.parametrize("Sk", (2, 3, 5, 8, 15, 16, 31, 33, 48, 49, 63, 65, 196, 197, 208, 209))
@pytest.mark.parametrize("dtype", DTYPES)
def test_last_keys(Sk, dtype):
    """Around the ends of a vector, of a strip of keys and of a block of rows."""
    run(Case(dtype=dtype, D=64, Sq=Sk, Sk=Sk, Hq=2, Hkv=1))
    for name in ("causal_tl", "window", "key_lengths", "tensor"):
        run(Case(dtype=dtype, D=64, B=2, Sq=7, Sk=Sk, Hq=2, Hkv=1, masks=(name,)))


@pytest.mark.parametrize("dims", [(8, 24), (59, 1), (1, 59), (128, 64), (64, 128), (192, 128)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_value_dims(dims, dtype):
    run(Case(dtype=dtype, D=dims[0], Dv=dims[1], Sq=50, Sk=70))


@pytest.mark.parametrize("heads", [(1, 1), (4, 1), (6, 2), (8, 8), (32, 4)], ids=str)
@pytest.mark.parametrize("Sq", [1, 45])
def test_head_groups(heads, Sq):
    run(Case(B=2, Hq=heads[0], Hkv=heads[1], Sq=Sq, Sk=90, masks=("causal_br",)))


@pytest.mark.parametrize("name", MASK_NAMES)
@pytest.mark.parametrize("lengths", [(130, 200), (200, 130), (1, 97), (97, 1), (600, 600)], ids=str)
def test_masks(name, lengths):
    run(Case(B=2, Sq=lengths[0], Sk=lengths[1], D=40, masks=(name,)))


@pytest.mark.parametrize(
    "names", list(itertools.combinations(("causal_br", "window", "key_lengths", "segments", "tensor"), 2))
)
def test_joined_masks(names):
    run(Case(B=2, Sq=150, Sk=180, D=40, masks=names))


def test_many_masks():
    run(Case(B=2, Sq=150, Sk=180, D=40, masks=("causal_br", "window_left", "key_padding", "segments", "tensor_row")))


@pytest.mark.parametrize("flat", list(itertools.product((False, True), repeat=4)), ids=str)
def test_bias(flat):
    run(Case(B=2, Sq=50, Sk=70, D=24, bias=flat))


@pytest.mark.parametrize(
    "dtypes", [("bf16", "f32"), ("f16", "f32"), ("bf16", "f16"), ("f64", "f32"), ("f32", "bf16")], ids=str
)
def test_bias_of_another_type(dtypes):
    run(Case(dtype=dtypes[0], bias_dtype=dtypes[1], Sq=50, Sk=70, bias=(True, False, False, False)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("softcap", [0.5, 30.0])
def test_softcap(softcap, dtype):
    run(Case(dtype=dtype, softcap=softcap, Sq=50, Sk=70, masks=("causal_br",)))


@pytest.mark.parametrize("scale", [0.0, -0.3, 1.0, 8.0])
def test_scale(scale):
    run(Case(scale=scale, Sq=50, Sk=70))


@pytest.mark.parametrize("name", SCORE_MODS)
@pytest.mark.parametrize("dtype", ["f32", "f64", "bf16"])
def test_score_mod(name, dtype):
    run(Case(dtype=dtype, score_mod=name, Sq=50, Sk=70, D=24))


@pytest.mark.parametrize("name", SCORE_MODS)
def test_score_mod_with_everything(name):
    run(
        Case(
            B=2, score_mod=name, softcap=5.0, bias=(True, False, False, True), masks=("causal_tl",), Sq=50, Sk=70, D=24
        )
    )


@pytest.mark.parametrize("name", MASK_MODS)
@pytest.mark.parametrize("softcap", [None, 2.0])
def test_mask_mod(name, softcap):
    run(Case(mask_mod=name, softcap=softcap, Sq=50, Sk=70, D=24))


@pytest.mark.parametrize("strides", STRIDES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_strides(strides, dtype):
    run(Case(dtype=dtype, B=2, Hq=4, Hkv=2, Sq=50, Sk=70, D=40, strides=strides, masks=("causal_br",)))


@pytest.mark.parametrize("lse", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_lse(lse, dtype):
    run(Case(dtype=dtype, B=2, Sq=45, Sk=33, D=24, lse=lse, masks=("causal_br",)))


@pytest.mark.parametrize("empty", ["B", "Hq", "Sq", "Sk"])
@pytest.mark.parametrize("masks", [(), ("causal_br",), ("key_lengths",), ("tensor",)], ids=str)
def test_empty(empty, masks):
    sizes = {"B": 2, "Hq": 2, "Sq": 9, "Sk": 9, empty: 0}
    if empty == "Hq":
        sizes["Hkv"] = 0
    run(Case(D=24, masks=masks, **sizes))


#: Few queries have a form of their own, with more rows of it for more heads that share keys.
QUERIES = (*LENGTHS, 2, 3, 5, 7, 8, 12, 16)

#: What a mask's name begins with: a conjunction holds each clause once.
KINDS = ("causal", "window", "key_lengths", "key_padding", "prefix_lm", "segments", "tensor")


def kind(mask):
    return next(name for name in KINDS if mask.startswith(name))


cases = st.builds(
    Case,
    dtype=st.sampled_from(DTYPES),
    D=st.sampled_from(HEAD_DIMS),
    Dv=st.one_of(st.none(), st.sampled_from(HEAD_DIMS)),
    B=st.integers(1, 3),
    Hkv=st.integers(1, 3),
    Sq=st.sampled_from(QUERIES),
    Sk=st.sampled_from(LENGTHS),
    masks=st.lists(st.sampled_from(MASK_NAMES), max_size=3, unique_by=kind).map(tuple),
    bias=st.one_of(st.none(), st.tuples(*[st.booleans()] * 4)),
    scale=st.one_of(st.none(), st.sampled_from((0.0, 0.05, 0.4))),
    softcap=st.one_of(st.none(), st.sampled_from((1.0, 20.0))),
    strides=st.sampled_from(STRIDES),
    lse=st.booleans(),
    seed=st.integers(0, 2**16),
)


@settings(suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow, HealthCheck.data_too_large])
@given(cases, st.sampled_from((1, 2, 4)))
def test_sweep(case, group):
    case = Case(**{**vars(case), "Hq": case.Hkv * group})
    assume(case.work <= MOST_WORK)
    run(case)
