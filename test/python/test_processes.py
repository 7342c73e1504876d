"""Many processes, forks, kills, and homes that cannot be written: calls succeed, and say what they did without.

Each test works in a process of its own, started here: pytest's has threads of other libraries, which do not survive a fork.
"""

import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap

import pytest

PRELUDE = """
import os, random, signal, sys, threading, time
import numpy as np
import flashc

x = np.random.default_rng(0).standard_normal((1, 2, 20, 8), np.float32)

def right(scale=0.25):
    out = flashc.attention(x, x, x, scale=scale)
    return bool(np.abs(out - flashc.reference(x, x, x, scale=scale)[0]).max() < 1e-5)

def finish(child):
    status = os.waitpid(child, 0)[1]
    assert status == 0, status
"""


def run_script(code, environment, timeout=200, **options):
    """What a fresh interpreter prints for `code`."""
    done = subprocess.run([sys.executable, "-c", PRELUDE + textwrap.dedent(code)], env={**os.environ, **environment},
                          capture_output=True, text=True, timeout=timeout, check=False, **options)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def test_many_processes_on_a_cold_cache(tmp_path):
    """64 at once, none with anything compiled."""
    code = """
    ready, go = os.pipe()
    children = []
    for _ in range(64):
        child = os.fork()
        if child == 0:
            os.close(go)
            os.read(ready, 1)  # until all are there
            good = right() and flashc.compile_count() == 1 and "last use" not in flashc.doctor(False)["cache"]
            os._exit(0 if good else 1)
        children.append(child)
    os.close(go)
    for child in children:
        finish(child)
    assert right()
    print(flashc.cache_info())
    """
    folder = tmp_path / "cache"
    assert "'from_disk': 1" in run_script(code, {"FLASHC_CACHE_DIR": str(folder)})
    # One entry for all, and nothing half-written beside it.
    assert [path.suffix for path in folder.iterdir()] == [".kernel"]
    assert folder.stat().st_mode & 0o777 == 0o700


def test_killed_compilers_leave_a_good_cache(tmp_path):
    code = """
    random.seed(1)
    for round in range(12):
        child = os.fork()
        if child == 0:
            for n in range(100):
                right(0.01 * (n + 1))
            os._exit(0)
        time.sleep(random.uniform(0.01, 0.4))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert right(0.01) and right(0.02)
    print(flashc.doctor(False)["cache"])
    """
    folder = tmp_path / "cache"
    assert "damaged" not in run_script(code, {"FLASHC_CACHE_DIR": str(folder)})
    for entry in folder.glob("*.kernel"):
        assert entry.read_bytes()[:8] == b"FLASHCKC"


STATE = """
assert right() and right()
print(flashc.cache_info()["compiled"], flashc.doctor(False)["cache"])
"""


def without_home():
    return {"HOME": "", "XDG_CACHE_HOME": "", "FLASHC_CACHE_DIR": ""}


def test_no_home():
    assert run_script(STATE, without_home()).startswith("1 off: no FLASHC_CACHE_DIR and no home directory")


def test_a_home_that_is_not_there():
    said = run_script(STATE, {**without_home(), "HOME": "/proc/nobody"})
    assert said.startswith("1 ")
    assert "at its last use: cache directory /proc/nobody/.cache/flashc: No such file or directory" in said


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "file").write_text("")
    assert "Not a directory" in run_script(STATE, {"FLASHC_CACHE_DIR": str(tmp_path / "file")})


def test_a_symbolic_link(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    said = run_script(STATE, {"FLASHC_CACHE_DIR": str(tmp_path / "link")})
    assert "expected a directory, got a symbolic link" in said
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_folder_that_others_can_write(tmp_path):
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    said = run_script(STATE, {"FLASHC_CACHE_DIR": str(tmp_path / "open")})
    assert "expected no write permission for group and others, got mode 0777" in said
    assert not list((tmp_path / "open").iterdir())


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to give a folder away")
def test_a_folder_of_somebody_else(tmp_path):
    (tmp_path / "theirs").mkdir(mode=0o700)
    os.chown(tmp_path / "theirs", 65534, 65534)
    said = run_script(STATE, {"FLASHC_CACHE_DIR": str(tmp_path / "theirs")})
    assert "expected owner 0, got 65534" in said
    assert not list((tmp_path / "theirs").iterdir())


def test_a_read_only_home():
    """Root writes where it likes, so it becomes nobody after its imports."""
    with tempfile.TemporaryDirectory() as home:
        os.chmod(home, 0o555)
        lose = "flashc.doctor(False)\nif os.getuid() == 0:\n    os.setgid(65534); os.setuid(65534)\n"
        said = run_script(lose + STATE, {**without_home(), "HOME": home})
        assert said.startswith("1 ")
        assert "at its last use: cache directory" in said
        assert not os.listdir(home)


def test_a_limit_on_the_size_of_files(tmp_path):
    limit = "import resource\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nresource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
    said = run_script(limit + STATE, {"FLASHC_CACHE_DIR": str(tmp_path / "cache")})
    assert said.startswith("1 ")
    assert "at its last use" in said
    assert "File too large" in said
    assert not list((tmp_path / "cache").iterdir())


def test_a_full_disk(tmp_path):
    unshare = shutil.which("unshare")
    mount = ["sh", "-c", 'mount -t tmpfs -o size=8k,mode=0700 none "$0" && exec "$@"', str(tmp_path)]
    if not unshare or subprocess.run([unshare, "-m", *mount, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system lets nobody mount a small disk")
    script = PRELUDE + STATE + f"print(len(os.listdir({str(tmp_path)!r} + '/cache')))"
    done = subprocess.run(
        [unshare, "-m", *mount, sys.executable, "-c", script],
        env={**os.environ, "FLASHC_CACHE_DIR": str(tmp_path / "cache")}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "No space left on device" in done.stdout
    assert done.stdout.splitlines()[-1] == "0"


def test_forks_beside_compilations_and_calls(tmp_path):
    """A child that is made while other threads compile and run can do both."""
    code = """
    stop = threading.Event()

    def compile_on():
        n = 0
        while not stop.is_set():
            n += 1
            assert right(1.0 + 0.01 * n)

    def call_on():
        big = np.ones((1, 4, 600, 8), np.float32)
        while not stop.is_set():
            flashc.attention(big, big, big)

    flashc.set_num_threads(2)
    threads = [threading.Thread(target=work) for work in (compile_on, compile_on, call_on)]
    for thread in threads:
        thread.start()
    for round in range(5):
        time.sleep(0.05 * round)
        child = os.fork()
        if child == 0:
            big = np.ones((1, 4, 600, 8), np.float32)
            good = right(0.25) and right(0.5 + 0.01 * round)
            good = good and np.allclose(flashc.attention(big, big, big), 1)
            os._exit(0 if good else 1)
        finish(child)
    stop.set()
    for thread in threads:
        thread.join()
    print("done")
    """
    assert run_script(code, {"FLASHC_CACHE_DIR": str(tmp_path / "cache")}) == "done"


def test_a_child_of_a_child(tmp_path):
    """Forks before the first call, after it, and of a child that has called."""
    code = """
    def generation(depth):
        child = os.fork()
        if child:
            return finish(child)
        big = np.ones((1, 4, 600, 8), np.float32)
        good = right() and np.allclose(flashc.attention(big, big, big), 1)
        if depth:
            generation(depth - 1)
        os._exit(0 if good and right(0.1 * (depth + 1)) else 1)

    flashc.set_num_threads(3)
    generation(2)
    assert right()
    generation(2)
    print("done")
    """
    assert run_script(code, {"FLASHC_CACHE_DIR": str(tmp_path / "cache")}) == "done"


def test_threads_that_compile_and_call(tmp_path):
    """Six threads, each with kernels of its own and one that all share, under a lock that changes hands all the time."""
    code = """
    sys.setswitchinterval(1e-5)
    wrong = []

    def work(thread):
        for n in range(2):
            wrong.extend([thread] * (not right(0.1 * (thread + 1) + 0.01 * n)))
            for _ in range(50):
                wrong.extend([thread] * (not right()))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(wrong, flashc.cache_info()["compiled"])
    """
    assert run_script(code, {"FLASHC_CACHE_DIR": str(tmp_path / "cache")}) == "[] 13"


#: What brings an LLVM or an MLIR of its own, and how it is put to use.
COMPILERS = {
    "torch": "assert torch.compile(lambda a: a + 1, backend='eager')(torch.ones(2)).sum() == 4",
    "triton": "import triton.language; assert triton.__version__",
    "jax": "import jax.numpy; assert jax.jit(lambda a: a + 1)(jax.numpy.ones(2)).sum() == 4",
    "torch_mlir.ir": "torch_mlir.ir.Module.parse('func.func @f() { return }', torch_mlir.ir.Context())",
    "iree.compiler": "assert iree.compiler.compile_str('func.func @f(%a: tensor<2xf32>) -> tensor<2xf32> "
    "{ return %a : tensor<2xf32> }', target_backends=['llvm-cpu'])",
}


def installed(module):
    return subprocess.run([sys.executable, "-c", f"import {module}"], capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="module")
def compilers():
    return [module for module in COMPILERS if installed(module)]


ORDERS = [
    *itertools.permutations(("torch", "triton", "flashc")),
    *itertools.permutations(("torch", "jax", "flashc")),
    ("flashc", "torch_mlir.ir"),
    ("torch_mlir.ir", "flashc"),
    ("flashc", "iree.compiler"),
    ("iree.compiler", "flashc"),
]  # fmt: skip


@pytest.mark.parametrize("order", ORDERS, ids="-".join)
def test_several_compilers_in_one_process(order, compilers, tmp_path):
    """flashc compiles before, between and after the others, whoever was loaded first."""
    missing = [module for module in order if module != "flashc" and module not in compilers]
    if missing:
        pytest.skip(f"{', '.join(missing)} is not installed")
    code = [
        "import numpy as np",
        "x = np.ones((1, 1, 4, 8), np.float32)",
        "import flashc" if order[0] == "flashc" else "",
    ]
    scales = itertools.count(1)
    for module in order:
        code += [f"import {module}", COMPILERS.get(module, "")]
        if "flashc" in order[: order.index(module) + 1]:
            code.append(f"assert np.allclose(flashc.attention(x, x, x, scale=0.1 * {next(scales)}), 1)")
    for module in reversed(order):
        code.append(COMPILERS.get(module, "assert np.allclose(flashc.attention(x, x, x, scale=0.9), 1)"))
    done = subprocess.run([sys.executable, "-c", "\n".join(code)], capture_output=True, text=True, check=False,
                          env={**os.environ, "FLASHC_CACHE_DIR": str(tmp_path / "cache")})  # fmt: skip
    assert done.returncode == 0, done.stderr
