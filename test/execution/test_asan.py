"""AddressSanitizer inside generated code.

A pack's library is replaced by one from the same LLVM IR with every load and store checked; flash-run then verifies it over
its list of odd sizes. What the operands' guard pages cannot see - the workspace, its views, stack scratch - is seen here.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess

import pytest

CLANG = shutil.which("clang-19")
KERNELS = (
    ("--head-dim 24 --lse --mask causal(bottom_right)", "cpu:x86-64-v3"),
    ("--head-dim 7 --dtype bf16 --value-head-dim 33", "host"),
    ("--head-dim 64", "host"),
    ("--head-dim 59 --dtype f16 --mask window(40,3,top_left)", "host"),
    ("--head-dim 16 --dtype f64 --lse --mask key_lengths", "cpu:x86-64"),
    ("--head-dim 40 --mask segments --bias f32", "host"),
    ("--head-dim 128 --dtype bf16 --mask causal(top_left)", "host"),
    ("--head-dim 80 --value-head-dim 96 --dtype bf16 --lse", "cpu:x86-64-v4"),
    ("--head-dim 8 --mask tensor --softcap 3", "host"),
)  # fmt: skip


def runtime_library():
    if not CLANG:
        return None
    path = subprocess.run(
        [CLANG, "-print-file-name=libclang_rt.asan-x86_64.so"], capture_output=True, text=True, check=True
    )
    return path.stdout.strip() if os.path.exists(path.stdout.strip()) else None


def flash(tool, *arguments, **options):
    return subprocess.run([tool, *arguments], capture_output=True, text=True, check=False, **options)


def replace_library(pack, ir):
    """The library of `pack`, made of `ir` with checks."""
    checked = pack.parent / "checked.ll"
    # Functions are checked where they say so; what is declared elsewhere has no body.
    text, count = re.subn(r"^attributes (#\d+) = \{", r"attributes \1 = { sanitize_address", ir, flags=re.MULTILINE)
    assert count > 0
    checked.write_text(text)
    library = pack / "liba.so"
    library.unlink()
    # Taking vectors of bf16 apart for the checks may call the compiler's library.
    sanitizer = ("-fsanitize=address", "-shared-libasan", "-rtlib=compiler-rt", "-Wno-override-module")
    done = flash(CLANG, *sanitizer, "-shared", "-fPIC", "-O1", "-o", str(library), str(checked))
    assert done.returncode == 0, done.stderr
    description = json.loads((pack / "kernel.json").read_text())
    content = library.read_bytes()
    description["files"]["library"].update(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    (pack / "kernel.json").write_text(json.dumps(description))
    symbols = flash("nm", "-D", str(library)).stdout
    assert "__asan_report_load" in symbols
    assert "__asan_report_store" in symbols


def checked_pack(options, target, tmp_path, change=lambda ir: ir):
    """The folder of a pack with checked code, made of the kernel's LLVM IR after `change`."""
    if runtime_library() is None:
        pytest.skip("needs clang-19 and its AddressSanitizer runtime")
    pack = tmp_path / "pack"
    arguments = [*options.split(), "--target", target, "--name", "a"]
    for output, emit in ((pack, []), (tmp_path / "plain.ll", ["--emit", "llvm"])):
        done = flash("flash-compile", *arguments, *emit, "-o", str(output))
        assert done.returncode == 0, done.stderr
    replace_library(pack, change((tmp_path / "plain.ll").read_text()))
    return pack


def verify(pack, *sizes):
    environment = dict(os.environ, LD_PRELOAD=runtime_library(), ASAN_OPTIONS="detect_leaks=0")
    names = ("--batch", "--heads", "--kv-heads", "--queries", "--keys")
    arguments = [text for name, size in zip(names, sizes) for text in (name, str(size))]
    return flash("flash-run", str(pack), "--verify", *arguments, env=environment)


@pytest.mark.parametrize("options, target", KERNELS, ids=lambda value: value.replace("--", "").replace(" ", ","))
def test_checked_code(options, target, tmp_path):
    pack = checked_pack(options, target, tmp_path)
    done = verify(pack)
    assert "AddressSanitizer" not in done.stderr, done.stderr
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(" ok") >= 10
    # The workspace keeps the size of the largest call: only that of a process' first call ends where it says.
    for sizes in ((2, 4, 2, 33, 65), (1, 2, 1, 1, 300), (1, 3, 3, 129, 40)):
        done = verify(pack, *sizes)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_checks_see_a_defect(tmp_path):
    """A read of the byte behind the workspace, put into the kernel."""

    def read_past(ir):
        head = re.search(r"define i32 @a_run\(ptr %args, ptr %stream, ptr %workspace, i64 %size\).*\nentry:\n", ir)
        past = "  %past = getelementptr i8, ptr %workspace, i64 %size\n  %seen = load volatile i8, ptr %past\n"
        return ir[: head.end()] + past + ir[head.end() :]

    done = verify(checked_pack("--head-dim 24", "host", tmp_path, read_past), 1, 1, 1, 20, 40)
    assert done.returncode != 0
    assert "heap-buffer-overflow" in done.stderr
