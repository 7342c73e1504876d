"""Child processes in which every step has a deadline: a driver that hangs or dies takes one of them along, not the check.

A child tells what it does in lines that begin with MARK, one JSON object each; whatever else it writes is kept for the case
that it dies.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

MARK = "@flashc "
#: The children that are watched now.
watched: set[subprocess.Popen] = set()


def say(**message: Any) -> None:
    """From a child to who watches it."""
    print(MARK + json.dumps(message), flush=True)


class Ended(NamedTuple):
    """How a child ended: "done", "crashed", "hung", or "out of time" for all of the check."""

    kind: str
    detail: str


def describe_status(status: int, tail: list[str]) -> str:
    if status < 0:
        try:
            text = f"ended by {signal.Signals(-status).name}"
        except ValueError:
            text = f"ended by signal {-status}"
    else:
        text = f"ended with status {status}"
    return ": ".join([text, *tail[-1:]])


def stop(child: subprocess.Popen) -> str:
    """Ends a child and what it started. A process inside of a driver may outlive that."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    try:
        child.wait(timeout=10)
    except subprocess.TimeoutExpired:
        return f"; process {child.pid} could not be ended"
    return ""


def end_with_children() -> None:
    """Has Ctrl-C and kill end the children, too: they are in groups of their own, and may be what one wants to be rid of. What was
    written until then stays."""

    def end(number: int, _: object) -> None:
        for child in list(watched):
            with contextlib.suppress(OSError):
                os.killpg(child.pid, signal.SIGKILL)
        os._exit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup's
            signal.signal(number, end)


def watch(
    command: list[str],
    on_message: Callable[[dict], None],
    seconds: float,
    job: object = None,
    until: float | None = None,
) -> Ended:
    """Runs a command, with `job` as JSON on its input, and hands on what it says. It has `seconds` from one message to the next, and
    ends at `until` of the monotonic clock at the latest."""
    child = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,  # a group of its own, to be ended as one
    )
    watched.add(child)
    lines: queue.Queue = queue.Queue()

    def read() -> None:
        for line in child.stdout:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    tail: list[str] = []
    try:
        try:
            child.stdin.write(json.dumps(job))
            child.stdin.close()
        except BrokenPipeError:
            pass
        deadline = time.monotonic() + seconds
        while True:
            last = deadline if until is None else min(deadline, until)
            try:
                line = lines.get(timeout=max(0.0, last - time.monotonic()))
            except queue.Empty:
                rest = stop(child)
                if last == deadline:
                    return Ended("hung", f"no answer in {seconds:g} seconds{rest}")
                return Ended("out of time", f"the check's time was over{rest}")
            if line is None:
                break
            if line.startswith(MARK):
                on_message(json.loads(line[len(MARK) :]))
                deadline = time.monotonic() + seconds
            elif line.strip():
                tail = [*tail[-19:], line.strip()]
        try:
            status = child.wait(timeout=max(1.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            return Ended("hung", f"did not end within {seconds:g} seconds{stop(child)}")
        return Ended("crashed", describe_status(status, tail)) if status else Ended("done", "")
    finally:
        if child.poll() is None:
            stop(child)
        watched.discard(child)


def write_whole(path: Path, text: str) -> None:
    """Writes a file that is old or new, and never half."""
    beside = path.with_name(path.name + ".part")
    beside.write_text(text)
    os.replace(beside, path)
