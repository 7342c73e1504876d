"""Draws of everything that a call may say, on the emulated GPUs.

The quick profile draws the same few each time, FLASHC_DEEP=1 new ones and many more.
"""

from cases import HEAD_DIMS, MASK_NAMES, STRIDES, Case, run
from conftest import DEEP
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from oracle import DTYPES

CHIPS = ("sm_80", "gfx942", "sm_90a", "gfx1100", "gfx90a")
#: Multiply-adds of the largest drawn call.
MOST_WORK = 60_000_000 if DEEP else 8_000_000


def target(chip: str) -> str:
    return f"emulated:{chip}"


KINDS = ("causal", "window", "key_lengths", "key_padding", "prefix_lm", "segments", "tensor")

cases = st.builds(
    Case,
    dtype=st.sampled_from(tuple(DTYPES)),
    D=st.sampled_from(HEAD_DIMS),
    Dv=st.one_of(st.none(), st.sampled_from(HEAD_DIMS)),
    B=st.integers(1, 2),
    Hkv=st.integers(1, 3),
    Sq=st.sampled_from((0, 1, 2, 3, 5, 8, 16, 17, 33, 64, 97, 130, 200)),
    Sk=st.sampled_from((0, 1, 17, 64, 97, 113, 128, 200, 384, 1025)),
    masks=st.lists(
        st.sampled_from(MASK_NAMES), max_size=3, unique_by=lambda mask: next(k for k in KINDS if mask.startswith(k))
    ).map(tuple),
    bias=st.one_of(st.none(), st.tuples(*[st.booleans()] * 4)),
    scale=st.one_of(st.none(), st.sampled_from((0.0, 0.05, 0.4))),
    softcap=st.one_of(st.none(), st.sampled_from((1.0, 20.0))),
    strides=st.sampled_from(STRIDES),
    lse=st.booleans(),
    target=st.sampled_from(CHIPS).map(target),
    seed=st.integers(0, 2**16),
)


@settings(
    max_examples=settings.default.max_examples // 5 if DEEP else 15,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(cases, st.sampled_from((1, 2, 4)))
def test_sweep(case, group):
    case = Case(**{**vars(case), "Hq": case.Hkv * group})
    assume(case.work <= MOST_WORK)
    run(case)
