"""Python code in processes of its own, each with a cache that the test names."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def start(code: str, cache: Path | str, **environment: str) -> subprocess.Popen[str]:
    own = {**os.environ, "FLASHC_CACHE_DIR": str(cache), **environment}
    return subprocess.Popen(
        [sys.executable, "-c", code], env=own, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process: subprocess.Popen[str]) -> Any:
    """What a process prints as JSON in its last line; one that takes longer than five minutes is ended."""
    try:
        out, said = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 0, said
    return json.loads(out.splitlines()[-1])


def run(code: str, cache: Path | str, **environment: str) -> Any:
    return finish(start(code, cache, **environment))
