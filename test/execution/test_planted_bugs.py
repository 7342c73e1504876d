"""Bugs planted in the kernels of GPUs: the emulated chips find them, or the results are wrong.

The image of a pack for an emulated chip is LLVM IR, text in its library's data. A mutant is the pack with some lines changed
for others of the same length: a barrier, a wait or a group's commit left out, two fragments of a product exchanged, a swizzle or
a predicate altered. The pipelines of wgmma and the copy engine have theirs in test/emulator/PipelineMicroTests.cpp.
"""

import hashlib
import json
import re
import shutil
import subprocess

import pytest
from conftest import DEEP

CHIPS = ("sm_80", "sm_90a", "gfx90a", "gfx942", "gfx1100")
SIZES = (1, 2, 1, 200, 320)  # tiles of keys that are full, partial, and cut by the diagonal
BARRIER = r"call void @llvm\.(nvvm\.barrier0|amdgcn\.s\.barrier)"
COMMIT = r"call void @llvm\.nvvm\.cp\.async\.commit\.group"
WAIT = r"call void @llvm\.nvvm\.cp\.async\.wait\.group"
PRODUCT = r"@llvm\.(nvvm\.mma\.m16n8k16|amdgcn\.mfma|amdgcn\.wmma)\S*\("
BAD_STORE = "  store i32 0, ptr null"


def verify(pack):
    names = ("--batch", "--heads", "--kv-heads", "--queries", "--keys")
    sizes = [text for name, size in zip(names, SIZES) for text in (name, str(size))]
    return subprocess.run(["flash-run", str(pack), "--verify", *sizes], capture_output=True, text=True, check=False)


class Kernel:
    """A pack, and the lines of the function in its image that SIZES run: the one for many query rows."""

    def __init__(self, folder, chip):
        self.pack, self.mutant_pack = folder / "pack", folder / "mutant"
        arguments = ["--head-dim", "64", "--dtype", "bf16", "--mask", "causal(bottom_right)", "--name", "k"]
        done = subprocess.run(
            ["flash-compile", *arguments, "--target", f"emulated:{chip}", "-o", str(self.pack)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        self.library = (self.pack / "libk.so").read_bytes()
        inside = self.library.index(b"target triple")
        self.begin = self.library.rindex(b"\0", 0, inside) + 1
        self.lines = self.library[self.begin : self.library.index(b"\0", inside)].decode().split("\n")
        self.first = max(i for i, line in enumerate(self.lines) if line.startswith("define"))

    def find(self, pattern):
        return [i for i in range(self.first, len(self.lines)) if re.search(pattern, self.lines[i])]

    def outcome(self, changes):
        """What is found with some lines changed: nothing if the results are right."""
        lines = list(self.lines)
        for i, line in changes.items():
            assert len(line) <= len(lines[i])
            lines[i] = line.ljust(len(lines[i]))
        text = "\n".join(lines).encode()
        library = self.library[: self.begin] + text + self.library[self.begin + len(text) :]
        shutil.rmtree(self.mutant_pack, ignore_errors=True)
        shutil.copytree(self.pack, self.mutant_pack)
        (self.mutant_pack / "libk.so").write_bytes(library)
        description = json.loads((self.pack / "kernel.json").read_text())
        description["files"]["library"]["sha256"] = hashlib.sha256(library).hexdigest()
        (self.mutant_pack / "kernel.json").write_text(json.dumps(description))
        done = verify(self.mutant_pack)
        assert done.returncode >= 0, "a signal ended it"  # no bug of a kernel takes the process along
        return done.stdout + done.stderr if done.returncode else ""

    def executes(self, i):
        return self.outcome({i: BAD_STORE}) != ""


@pytest.fixture(scope="module", params=CHIPS)
def kernel(request, tmp_path_factory):
    made = Kernel(tmp_path_factory.mktemp(request.param), request.param)
    made.chip = request.param
    return made


def exchange(line, a, b):
    return re.sub(rf"{a}\b|{b}\b", lambda found: b if found.group() == a else a, line)


def sample(items, quick):
    """All in the deep profile, else about `quick` of them, spread evenly."""
    return items if DEEP else items[:: max(1, len(items) // quick)]


def test_nothing_is_wrong_without_a_bug(kernel):
    assert kernel.outcome({}) == ""


@pytest.mark.parametrize(
    ("left_out", "found"),
    [(BARRIER, "race|uninitialised"), (COMMIT, "not waited for"), (WAIT, "not waited for")],
    ids=("barriers", "commits", "waits"),
)
def test_left_out(kernel, left_out, found):
    lines = kernel.find(left_out)
    if not lines and left_out != BARRIER:
        pytest.skip("copies of this chip are loads and stores")
    assert lines
    assert re.search(found, kernel.outcome(dict.fromkeys(lines, "")))


def test_one_left_out(kernel):
    """Of barriers, commits and waits that are executed: some only guard what these operands do not have."""
    if kernel.chip not in ("sm_80", "gfx90a") and not DEEP:
        pytest.skip("the chips share this one")
    executed = [i for i in kernel.find(f"{BARRIER}|{COMMIT}|{WAIT}") if kernel.executes(i)]
    found = [i for i in executed if kernel.outcome({i: ""})]
    assert len(found) * 3 >= len(executed) >= 6, f"{len(found)} of {len(executed)}"


def test_fragments_exchanged(kernel):
    mutants = []
    for i in kernel.find(PRODUCT):
        operands = re.findall(r"(<[^>]*>|float|i32) (%\w+)[,)]", kernel.lines[i])
        # The first two of one type that differ: registers of A, or A and B.
        pairs = [(a, b) for n, (t, a) in enumerate(operands) for u, b in operands[n + 1 :] if t == u and a != b]
        if pairs:
            (a, b), line = pairs[0], kernel.lines[i]
            mutants.append({i: exchange(line, a, b)})
    assert len(mutants) > 10
    for mutant in sample(mutants[: len(mutants) // 2], 3):
        assert kernel.outcome(mutant), f"not found: {mutant}"


def test_swizzles_altered(kernel):
    lines = kernel.find(r" = xor i(32|64) ")
    chosen = sample(lines, 9)
    found = [i for i in chosen if kernel.outcome({i: kernel.lines[i].replace("xor i", "or i")})]
    assert len(found) * 4 >= len(chosen), f"{len(found)} of {len(chosen)}"


def test_masks_shortened(kernel):
    """Without the keys on the diagonal: each of a thread's elements has a comparison of its own."""
    lines = kernel.find(r"icmp sle i64 ")
    changes = {i: kernel.lines[i].replace("icmp sle", "icmp slt") for i in lines}
    assert "WRONG" in kernel.outcome(changes)
    chosen = sample(lines, 6)
    found = [i for i in chosen if kernel.outcome({i: changes[i]})]
    assert len(found) * 4 >= len(chosen), f"{len(found)} of {len(chosen)}"
