"""What `flash-compile --report` counts in LLVM IR against the code generators' assembly, counted apart: by its branches and
opcodes (test/support/loops.py)."""

import json
import re
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from conftest import DEEP
from loops import PRODUCT, opcodes, product_loops

#: Of a kernel of bf16 without a mask; kernel2 is the form for many query rows, and its first loop that over whole tiles.
CHIPS = {
    "nvptx:sm_80": 64,
    "nvptx:sm_90a": 128,
    "amdgpu:gfx90a": 64,
    "amdgpu:gfx942": 64,
    "amdgpu:gfx1100": 64,
}
KERNEL = "k_kernel2"
#: An exchange of a thread with itself keeps the thread's number within a way that is rarely taken, which the report leaves out.
WITH_ITSELF = re.compile(r"shfl\.sync\.bfly\.b32.*, 0, 31, -1;")
#: What the opcodes of each kind begin with. An identity of AMD's DPP moves nothing between lanes.
KINDS = {
    "special": ("ex2.", "v_exp_"),
    "shuffle": ("shfl.", "ds_bpermute", "v_permlanex16"),
    "shared-load": ("ldmatrix.", "ld.shared", "ds_read_b128", "ds_load_b128"),
    "convert": ("cvt.rn.bf16",),
    "async-copy": ("cp.async.cg",),
    "global-load": ("buffer_load_dwordx4", "buffer_load_b128"),
}


def compile_kernel(target: str, *options: str, head_dim: int = 0) -> str:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        command = ["flash-compile", "--head-dim", str(head_dim or CHIPS[target]), "--dtype", "bf16"]
        command += ["--target", target, "--name", "k"]
        if "asm" in options:
            subprocess.run([*command, *options, "-o", str(out)], check=True)
            return out.read_text()
        return subprocess.run([*command, *options], check=True, capture_output=True, text=True).stdout


def count(instructions: Counter[str], beginnings: tuple[str, ...]) -> int:
    return sum(times for name, times in instructions.items() if name.startswith(beginnings))


@pytest.mark.parametrize("target", CHIPS)
def test_counts(target):
    report = json.loads(compile_kernel(target, "--report=json"))
    function = next(each for each in report["functions"] if each["name"] == KERNEL)
    turn = function["loops"][0]
    counted = turn["instructions"]
    text = compile_kernel(target, "--emit", "asm")
    # Loops that a producer of tiles runs through hold no products.
    loop = product_loops(text, KERNEL)[0]
    found = opcodes(line for line in loop if not WITH_ITSELF.match(line))
    products = [name for name in found.elements() if PRODUCT.match(name)]
    assert counted["matrix"] == len(products)
    for kind, beginnings in KINDS.items():
        times = count(found, beginnings)
        if kind == "async-copy":
            times *= 4  # both copies are loops of four turns: 64 rows of 128 bytes by 128 threads
        assert counted.get(kind, 0) == times, f"{kind}: {counted}, {found}"
    if target.startswith("amdgpu"):
        # Half of the threads write values, eight columns of four rows each; all write keys.
        stores = count(found, ("ds_write_b128", "ds_store_b128")) + count(found, ("ds_write_b64", "ds_store_b64")) / 2
        assert counted["shared-store"] == stores, f"{counted}, {found}"
    # Additions and products of floats; the report's hold those of integers that go the same way, too.
    floats = count(
        found,
        (
            "add.rn",
            "mul.rn",
            "fma.rn",
            "sub.rn",
            "v_fma_f32",
            "v_fmac_f32",
            "v_pk_fma",
            "v_pk_mul",
            "v_pk_add",
            "v_mul_f32",
        ),
    )
    floats += count(found, ("v_add_f32", "v_sub_f32", "v_dual_add_f32", "v_dual_mul_f32", "v_dual_fmac_f32"))
    assert floats * 0.9 <= counted["fma"] <= floats * 1.35, f"{counted}, {found}"


def test_a_turn_does_what_attention_asks_for():
    """Of 64 x 64 scores of head dim 64: two products of 2 * 64^3 operations by four warps, and an exponential a score."""
    report = json.loads(compile_kernel("nvptx:sm_80", "--report=json"))
    turn = next(each for each in report["functions"] if each["name"] == KERNEL)["loops"][0]
    assert turn["issued_flops"] == turn["useful_flops"] == 2 * 2 * 64**3
    assert turn["matrix_flops"] * 4 == turn["issued_flops"]
    assert turn["instructions"]["special"] * 128 == 64 * 64 + 2 * 128  # and two rows' scales a thread


@pytest.mark.parametrize("mask", ("causal(bottom_right)", "segments") if DEEP else ("causal(bottom_right)",))
@pytest.mark.parametrize("D", (64, 128, 192, 256) if DEEP else (64, 256))
@pytest.mark.parametrize("chip", ("gfx942", "gfx1100"))
def test_amds_code_objects_keep_to_the_plan(chip, D, mask):
    """Tiles are chosen by what runtime/GpuTilePlan.h reckons that they take: the metadata of the code object says no more."""
    report = json.loads(compile_kernel(f"amdgpu:{chip}", "--lse", "--mask", mask, "--report=json", head_dim=D))
    functions = {each["name"]: each for each in report["functions"]}
    for form, name in (("many", "k_kernel2"), ("few", "k_kernel0")):
        planned, used = report["plan"][form], functions[name]
        assert used["threads"] == planned["threads"]
        # The few bytes that threads share are reckoned as a tile's.
        assert planned["shared_bytes"] - 1024 <= used["shared_bytes"] <= planned["shared_bytes"]
        # Some are left for what a mask reads of each key.
        others = 24 if mask == "segments" else 0
        assert planned["registers"] - 48 <= used["registers"] <= planned["registers"] + others, form
        assert used["registers"] <= 256, "two waves of CDNA share a SIMD, and one of RDNA has no more"
        # The vector unit finds sums where products leave them.
        assert used["accumulation_registers"] == used["spilled_bytes"] == used["local_bytes"] == 0
        # Both forms have two waves a SIMD, as far as shared memory holds as many blocks.
        blocks = min(65536 // used["shared_bytes"], 2 if form == "many" else 8)
        assert used["occupancy"]["blocks"] >= blocks, f"{form}: {used['occupancy']}"
