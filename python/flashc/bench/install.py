"""The peers' environment: what they need, apart from what flashc lives in."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).with_name("peers.txt")


def default_environment() -> Path:
    """FLASHC_BENCH_ENV, else .venv-bench in the working directory."""
    return Path(os.environ.get("FLASHC_BENCH_ENV", ".venv-bench"))


def install(environment: Path) -> int:
    """Makes the environment and installs the pinned peers, with uv where it is on the path."""
    uv = shutil.which("uv")
    python = environment / "bin/python"
    print(f"installing {REQUIREMENTS.name} into {environment}: several hundred megabytes")
    if uv:
        commands = [[uv, "pip", "install", "--python", str(python), "-r", str(REQUIREMENTS)]]
        if not python.exists():
            commands.insert(0, [uv, "venv", "--python", sys.executable, str(environment)])
    else:
        commands = [[str(python), "-m", "pip", "install", "--quiet", "-r", str(REQUIREMENTS)]]
        if not python.exists():
            # Of the base interpreter: an environment of an environment works, but borrows its name.
            base = getattr(sys, "_base_executable", sys.executable)
            commands.insert(0, [base, "-m", "venv", str(environment)])
    for command in commands:
        if code := subprocess.run(command, check=False).returncode:
            print(f"{' '.join(command)}: exit code {code}", file=sys.stderr)
            return code
    return 0
