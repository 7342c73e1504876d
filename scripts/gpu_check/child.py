"""What runs in a process of its own, since it may take the process along: everything that touches a device or its driver."""

from __future__ import annotations

import json
import sys
import time

from . import peers
from .runtime import DEVICE_ERROR, Pack, Runtime, RuntimeFailureError
from .watched import say


def devices(job: dict) -> None:
    """What there is, and whether the device that was asked for is."""
    runtime = Runtime(job["runtime"])
    say(found=runtime.devices(), abi=runtime.abi())
    if job["device"]:
        try:
            runtime.find(job["device"])
        except RuntimeFailureError as failure:
            say(missing=str(failure))


def load(job: dict) -> tuple[Runtime, Pack | None]:
    runtime = Runtime(job["runtime"])
    try:
        pack = Pack(runtime, job["pack"], runtime.find(job["device"]) if job["device"] else None)
    except RuntimeFailureError as failure:
        say(skipped=str(failure))
        return runtime, None
    say(loaded={"target": pack.metadata.get("target"), "device": pack.device})
    return runtime, pack


def kernel(job: dict) -> None:
    """Compares a kernel with the reference on some sizes and, where they are right and it is asked for, times it."""
    runtime, pack = load(job)
    if not pack:
        return
    broken = False
    for index, sizes in job["cases"]:
        say(begin=index)
        start, result = time.monotonic(), {"index": index, "passed": False, "message": ""}
        try:
            result["passed"], result["message"] = pack.verify(sizes, index + 1)
            result["checked_seconds"] = time.monotonic() - start
            if result["passed"] and job["seconds"]:
                result["seconds"] = pack.time(sizes, job["seconds"])
        except RuntimeFailureError as failure:
            result.update(passed=False, message=str(failure))
            # After a fault a process can do no more with the device.
            broken = failure.word == DEVICE_ERROR
        say(result=result, fallbacks=runtime.devices().get("fallbacks", []))
        if broken:
            return


def main() -> int:
    job = json.load(sys.stdin)
    {"devices": devices, "kernel": kernel, "peers": peers.run}[job["do"]](job)
    return 0
