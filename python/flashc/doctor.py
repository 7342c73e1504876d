"""What this installation is and what it can use, for people and for bug reports."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import stat
from pathlib import Path
from typing import Any

from . import _flashc
from .fallbacks import fallbacks


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def cache_dir() -> Path | None:
    """Where kernels are kept on disk: FLASHC_CACHE_DIR, else XDG_CACHE_HOME/flashc, else ~/.cache/flashc."""
    chosen = os.environ.get("FLASHC_CACHE_DIR")
    if chosen is not None:
        return Path(chosen) if chosen else None
    base = os.environ.get("XDG_CACHE_HOME") or (os.environ.get("HOME") and f"{os.environ['HOME']}/.cache")
    return Path(base) / "flashc" if base else None


def _cache_state() -> str:
    problem = _flashc.cache_problem()
    return _cache_folder() + (f"; at its last use: {problem}" if problem else "")


def _cache_folder() -> str:
    path = cache_dir()
    if path is None:
        return "off: no FLASHC_CACHE_DIR and no home directory; kernels are compiled in memory"
    try:
        state = path.lstat()
    except FileNotFoundError:
        return f"{path}: will be made at the first compilation"
    except OSError as error:
        return f"{path}: not usable: {error.strerror}"
    if not stat.S_ISDIR(state.st_mode):
        return f"{path}: not usable: expected a directory"
    if state.st_uid != os.getuid():
        return f"{path}: not usable: expected owner {os.getuid()}, got {state.st_uid}"
    if not os.access(path, os.W_OK):
        return f"{path}: read only"
    sizes = []
    with os.scandir(path) as entries:
        for entry in entries:
            try:
                sizes.append(entry.stat(follow_symlinks=False).st_size)
            except OSError:  # another process has renamed or removed it meanwhile
                continue
    return f"{path}: {len(sizes)} files, {sum(sizes) / 2**20:.1f} MiB"


def devices() -> list[dict[str, Any]]:
    """What kernels can run on here, the CPU first: name, family of targets, architecture, description, driver.

    >>> import flashc
    >>> flashc.devices()[0]["name"]
    'cpu'
    """
    found: list[dict[str, Any]] = json.loads(_flashc.devices())["devices"]
    return found


def _gpus() -> str:
    report = json.loads(_flashc.devices())
    found = []
    for device in report["devices"][1:]:
        text = f"{device['name']}: {device['description']}" + (f", {device['driver']}" if device["driver"] else "")
        # A chip that is newer than the compiler has the code of an older one.
        found.append(text + (f", runs {_flashc.target_for(device['name'])}" if device["family"] != "emulated" else ""))
    # A device file without a driver's library is what an installation most often misses.
    files = {"cuda": "/dev/nvidiactl", "hip": "/dev/kfd"}
    for absent in report["absent"]:
        file = files.get(absent["name"], "")
        state = f"{file} is there" if os.path.exists(file) else f"no device file {file}"
        found.append(f"no {absent['name']}: {absent['reason']} ({state})")
    return "; ".join(found)


def _first_use() -> str:
    return "on" if _flashc.tuning_on_first_use() else "off"


def doctor(print_report: bool = True) -> dict[str, Any]:
    """Collects versions, the CPU and its instruction sets, threads, the cache and the GPUs; prints them by default."""
    try:
        host = _flashc.describe_target("host")
    except (RuntimeError, ValueError) as error:
        host = str(error)
    report = {
        "flashc": _version("flashc"),
        "compiler": _flashc.compiler_version(),
        "abi": str(_flashc.ABI_VERSION),
        "python": platform.python_version(),
        "numpy": _version("numpy"),
        "torch": _version("torch"),
        "jax": _version("jax"),
        "cpu": _cpu_name(),
        "host target": host,
        "threads": str(_flashc.get_num_threads()),
        "cache": _cache_state(),
        "tuned": f"{len(_flashc.tuning_entries())} entries, tuning on first use {_first_use()}",
        "gpus": _gpus(),
        "fall-backs": "; ".join(fallbacks()) or "none so far",
    }
    if print_report:
        for name, value in report.items():
            print(f"{name:12} {value}")
    return report
