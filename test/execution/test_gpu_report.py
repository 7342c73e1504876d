"""What `flash-compile --report` counts in LLVM IR against the code generators' assembly, counted apart: by its branches and
opcodes (test/support/loops.py)."""

import json
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

import pytest
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
#: What the opcodes of each kind begin with. An identity of AMD's DPP moves nothing between lanes.
KINDS = {
    "special": ("ex2.", "v_exp_"),
    "shuffle": ("shfl.", "ds_bpermute", "v_permlanex16"),
    "shared-load": ("ldmatrix.", "ld.shared", "ds_read_b128", "ds_load_b128"),
    "convert": ("cvt.rn.bf16",),
    "async-copy": ("cp.async.cg",),
    "global-load": ("buffer_load_dwordx4", "buffer_load_b128"),
}


def compile_kernel(target: str, *options: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        command = [
            "flash-compile",
            "--head-dim",
            str(CHIPS[target]),
            "--dtype",
            "bf16",
            "--target",
            target,
            "--name",
            "k",
        ]
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
    found = opcodes(loop)
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
