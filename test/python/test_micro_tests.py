"""scripts/micro_tests.py as it is used on a machine with a GPU, on a driver of an emulated chip: what calls the driver's functions on
a chip calls these, for the same images, parameters and tensor maps."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flashc import _flashc

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(_flashc.__file__).resolve().parents[2]
EXPORT, DRIVER = BUILD / "bin" / "flashc-export-micro-tests", BUILD / "lib" / "libflashc-emulated-driver.so"

pytestmark = pytest.mark.skipif(not DRIVER.exists(), reason="the emulated chips' driver is not built")


@pytest.fixture(scope="module")
def tests(tmp_path_factory):
    folder = tmp_path_factory.mktemp("micro-tests")
    subprocess.run([str(EXPORT), str(folder)], check=True)
    return folder


def micro_tests(chip, *arguments, timeout=300):
    driver = {"FLASHC_CUDA_LIBRARY": str(DRIVER), "FLASHC_HIP_LIBRARY": ""}
    if chip.startswith("gfx"):
        driver = {"FLASHC_CUDA_LIBRARY": "", "FLASHC_HIP_LIBRARY": str(DRIVER)}
    return subprocess.run(
        [sys.executable, "-I", str(ROOT / "scripts" / "micro_tests.py"), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, **driver, "FLASHC_DRIVER_CHIP": chip},
    )


@pytest.mark.parametrize("chip", ("sm_80", "sm_90a", "gfx90a", "gfx942", "gfx1100"))
def test_every_test_of_a_chip_is_right(tests, chip):
    done = micro_tests(chip, "run", tests, "--images", ".ll")
    assert done.returncode == 0, done.stdout + done.stderr
    known = json.loads((tests / "tests.json").read_text())
    # What runs on sm_80 runs on sm_90a.
    mine = [test["name"] for test in known if test["chip"] in (chip, "sm_80" if chip == "sm_90a" else chip)]
    assert len(mine) > 10
    lines = done.stdout.splitlines()
    assert lines[-1] == f"{len(mine)} of {len(mine)} micro-tests are right"
    assert sorted(line[5:] for line in lines[:-1]) == sorted(mine)


def test_tests_that_hang_die_fault_or_are_wrong(tests, tmp_path):
    """Each is one that failed, and the others run."""
    known = [test for test in json.loads((tests / "tests.json").read_text()) if test["chip"] == "sm_80"][:6]
    (tmp_path / "tests.json").write_text(json.dumps(known))
    for test, trouble in zip(known, ("hang", "", "crash", "fault", "wrong", "")):
        for suffix in (".ll", ".in", ".expected"):
            shutil.copy(tests / f"{test['name']}{suffix}", tmp_path)
        if trouble:
            with (tmp_path / f"{test['name']}.ll").open("a") as file:
                file.write(f"; driver: {trouble}\n")
    done = micro_tests("sm_80", "run", tmp_path, "--images", ".ll", "--timeout", "5")
    assert done.returncode == 1
    names = [test["name"] for test in known]
    lines = done.stdout.splitlines()
    assert lines[:4] == [
        f"FAIL {names[0]}: hung: no answer in 5 seconds",
        f"ok   {names[1]}",
        f"FAIL {names[2]}: crashed: ended by SIGSEGV",
        f"FAIL {names[3]}: cuCtxSynchronize returned 700",
    ]
    assert lines[4].startswith(f"FAIL {names[4]}: 1 of ")
    assert lines[5:] == [f"ok   {names[5]}", "2 of 6 micro-tests are right"]


def test_no_driver(tests):
    done = micro_tests("sm_70", "run", tests)  # no chip of that name
    assert done.returncode == 2
    assert done.stdout == "nothing to run: Cuda: cuInit returned 1; Hip: turned off\n"


def test_all_are_taken_by_the_assemblers(tests, tmp_path):
    """A few of each chip: `make gpu-packs` compiles all."""
    if not shutil.which("/usr/lib/llvm-19/bin/llc"):
        pytest.skip("llc is not installed")
    known = json.loads((tests / "tests.json").read_text())
    chosen = [test for i, test in enumerate(known) if i % 25 == 0 or test["cluster"]][:20]
    for test in chosen:
        shutil.copy(tests / f"{test['name']}.ll", tmp_path)
    (tmp_path / "tests.json").write_text(json.dumps(chosen))
    done = micro_tests("sm_80", "compile", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(chosen)} of {len(chosen)} micro-tests compiled" in done.stdout
