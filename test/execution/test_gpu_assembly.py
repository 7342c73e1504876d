"""The assemblers' word on the GPUs' kernels, without a device.

NVIDIA's assembler takes every kernel for its chip with nothing spilled and nothing in local memory, and neither serialises a
matrix product nor ignores a register budget; AMD's code objects link, spill nothing and leave room for a whole block.
The quick profile has head dims 64, 80, 111, 128 and 256; FLASHC_DEEP=1 the whole of types, head dims and masks on every chip.
"""

from __future__ import annotations

import itertools
import os
import subprocess
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from assembly import (
    check_code,
    compile_kernel,
    find_linker,
    find_ptxas,
    find_readelf,
    read_code_object,
    read_metadata,
)
from conftest import DEEP
from loops import functions, opcodes, product_loops

NVIDIA, AMD = ("sm_80", "sm_90a"), ("gfx90a", "gfx942", "gfx1100")
MASKS = {
    "full": [],
    "causal": ["--mask", "causal(bottom_right)"],
    "window": ["--mask", "causal(bottom_right) & window(127,0)"],
    "lengths": ["--mask", "key_lengths"],
    "padding": ["--mask", "key_padding"],
    "segments": ["--mask", "segments"],
    "prefix": ["--mask", "prefix_lm(top_left)"],
    "bias": ["--bias", "f32"],
    "softcap": ["--softcap", "30"],
}
#: Masks that meet, and one beside a bias: what is read of each key stands beside numbers of each row.
JOINED = {
    "segments & window": ["--mask", "segments & causal(bottom_right) & window(127,0)"],
    "segments and bias": ["--mask", "segments", "--bias", "f32"],
    "padding and bias": ["--mask", "key_padding", "--bias", "f32"],
}
#: Those of which registers hold most beside wide heads.
WIDE_MASKS = ("window", "segments", "bias", "softcap")

Kernel = tuple[str, str, int, str]  # chip, element type or tf32, head dim, mask


def quick() -> list[Kernel]:
    """Every way that the code generators go, and the head dims that need most."""
    kernels = [("sm_80", dtype, D, "causal") for dtype in ("bf16", "f32", "f64") for D in (64, 80, 128, 256)]
    kernels += [("sm_80", "f16", 128, "causal"), ("sm_80", "bf16", 192, "full")]
    kernels += [("sm_80", "tf32", D, "causal") for D in (64, 128, 256)] + [("sm_90a", "tf32", 128, "causal")]
    kernels += [("sm_80", "bf16", 64, mask) for mask in ("full", "segments", "bias", "softcap")]
    kernels += [("sm_90a", "bf16", D, "causal") for D in (64, 80, 128, 256)]
    kernels += [("sm_90a", "bf16", 64, mask) for mask in ("window", "segments", "bias", "softcap")]
    kernels += [("sm_90a", "f16", 128, "full"), ("sm_90a", "f32", 128, "causal"), ("sm_90a", "f64", 256, "causal")]
    for chip in AMD:
        kernels += [(chip, "bf16", D, "causal") for D in (64, 111, 128, 256)]
        kernels += [(chip, "f32", 128, "causal"), (chip, "f64", 256, "causal")]
    # The register allocator leaves a slot behind in the second one.
    return [*kernels, ("gfx1100", "bf16", 128, "segments"), ("gfx90a", "f16", 128, "segments")]


def every() -> list[Kernel]:
    dims = (8, 24, 40, 59, 64, 80, 88, 96, 111, 128, 160, 192, 224, 256)
    kernels = list(itertools.product((*NVIDIA, *AMD), ("bf16", "f16", "f32", "f64"), dims, ("full", "causal")))
    kernels += list(itertools.product(NVIDIA, ("tf32",), dims, ("full", "causal")))
    masks = [mask for mask in MASKS if mask not in ("full", "causal")]
    kernels += itertools.product((*NVIDIA, *AMD), ("bf16", "f32"), (64, 128), masks)
    kernels += itertools.product(NVIDIA, ("tf32",), (64, 128), masks)
    kernels += itertools.product(NVIDIA, ("bf16",), (40, 96, 192, 256), WIDE_MASKS)
    kernels += itertools.product(NVIDIA, ("f64",), (64, 128, 256), ("segments", "bias"))
    kernels += itertools.product(AMD, ("bf16",), (96, 160, 192, 256), ("segments", "bias"))
    kernels += itertools.product(NVIDIA, ("bf16",), (64, 128), JOINED)
    kernels += [(chip, "f32", 256, "segments") for chip in AMD]
    kernels += itertools.product((*NVIDIA, *AMD), ("f16",), (64, 128), ("window", "segments"))
    return kernels + [(chip, "f32", D, "segments") for chip in NVIDIA for D in (192, 256)]


def parameters() -> list:
    return [pytest.param(kernel, id="-".join(map(str, kernel))) for kernel in (every() if DEEP else quick())]


def options_of(kernel: Kernel) -> list[str]:
    _, dtype, D, mask = kernel
    element = ["f32", "--tf32"] if dtype == "tf32" else [dtype]
    return ["--head-dim", str(D), "--dtype", *element, "--lse", *(MASKS | JOINED)[mask]]


def produce(kernel: Kernel) -> bytes:
    chip = kernel[0]
    if chip in NVIDIA:
        return compile_kernel(options_of(kernel), f"nvptx:{chip}", "asm")
    return compile_kernel(options_of(kernel), f"amdgpu:{chip}", "binary")


@pytest.fixture(scope="module")
def images(request) -> dict[Kernel, Future]:
    """What the tests of this run need, compiled side by side."""
    wanted = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for item in request.session.items:
            kernel = getattr(item, "callspec", None) and item.callspec.params.get("kernel")
            if item.module is request.module and kernel and not missing_tool(kernel[0]):
                wanted.setdefault(kernel, pool.submit(produce, kernel))
        yield wanted
        pool.shutdown(cancel_futures=True)


def missing_tool(chip: str) -> str:
    if chip in NVIDIA:
        return "" if find_ptxas() else "ptxas is not installed (pip install nvidia-cuda-nvcc)"
    return "" if find_linker() and find_readelf() else "ld.lld-19 or llvm-readelf is not installed (apt install lld-19)"


@pytest.mark.parametrize("kernel", parameters())
def test_kernel(kernel, images):
    chip = kernel[0]
    if reason := missing_tool(chip):
        pytest.skip(reason)
    check_code(images[kernel].result(), chip)


@pytest.mark.parametrize("kernel", [("sm_80", "bf16", 128, "causal"), ("sm_90a", "bf16", 64, "segments")])
def test_shown_is_shipped_by_nvidia(kernel, tmp_path):
    """A pack holds the very text that is shown, and that these tests put through the assembler."""
    options = [*options_of(kernel), "--target", f"nvptx:{kernel[0]}"]
    subprocess.run(["flash-compile", *options, "--name", "k", "-o", str(tmp_path)], check=True, capture_output=True)
    assert produce(kernel).strip() in (tmp_path / "k.o").read_bytes()


def test_shown_is_shipped_by_amd():
    """Registers of the text that is shown are those of the code object, in a kernel that the order of uses sways."""
    if reason := missing_tool("gfx942"):
        pytest.skip(reason)
    kernel = ("gfx942", "f32", 64, "segments")
    shown = compile_kernel(options_of(kernel), "amdgpu:gfx942", "asm").decode()
    assert read_metadata(shown) == read_code_object(produce(kernel)) != []


@pytest.mark.parametrize("kernel", [("sm_80", dtype, D, "causal") for dtype in ("bf16", "f16") for D in (64, 128, 256)])
def test_turns(kernel, images):
    """What a turn over a tile of keys is made of on sm_80, whichever way it goes."""
    if reason := missing_tool("sm_80"):
        pytest.skip(reason)
    _, dtype, D, _ = kernel
    text = images[kernel].result().decode()
    turns = [opcodes(loop) for function in functions(text) for loop in product_loops(text, function)]
    assert len(turns) == 4, "of few rows and of many, over whole tiles and over masked ones"
    for turn in turns:

        def count(beginning: str, turn: Counter[str] = turn) -> int:
            return sum(times for name, times in turn.items() if name.startswith(beginning))

        # A warp has 16 rows; beside the scores' exponentials a thread has those of two rows' scales.
        keys = (count("ex2.approx") - 2) * 2
        assert keys in (16, 32, 64)
        products = count("mma.sync.aligned.m16n8k16.row.col")
        assert products == 2 * (keys // 8) * (D // 16)
        # Each of four matrices is what one product takes half of; rows that registers do not hold are read, too.
        rows = D // 16 if D == 256 else 0
        assert count("ldmatrix.sync.aligned.m8n8.x4.trans") == products // 4
        assert count("ldmatrix.sync.aligned.m8n8.x4.shared") == products // 4 + rows
        assert count("cp.async.cg") == 2, "keys and values, each by a loop"
        # One at a time would be two conversions and a third instruction to join them.
        assert count(f"cvt.rn.{dtype}x2.f32") == keys // 4
        assert not count(f"cvt.rn.{dtype}.f32")
        assert not [name for name in turn if ".local" in name]
