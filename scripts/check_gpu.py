#!/usr/bin/env python3
"""Checks kernels on a machine with a GPU: no internet, no LLVM, no flashc installation, any Python from 3.8.

Give it a folder of packs, as `make gpu-packs` or flash-compile write them, and the runtime's library or the sources to
build it from. In this order it runs the emulator's instruction tests on the chip, compares the kernels that matter most
with the float64 reference and times them, beside what else the machine has for attention, then the others. What is known
is written after each step, as Markdown and JSON. Everything that touches the device is a process of its own with a limit on
its time: a kernel that hangs, a driver that dies or a fault that sticks to a process is one line of the report.

    python3 check_gpu.py packs --runtime libflashc_runtime.so --report report
    python3 check_gpu.py packs --source flashc/            # builds the runtime with cmake first
    python3 check_gpu.py packs --budget 540                # what matters most in nine minutes
    python3 check_gpu.py packs --device cuda:1 --no-bench

Exit status: 0 when every kernel that the device runs is right, 1 when one is not, 2 when nothing could be run, 3 when the
time was over before all was checked.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # an isolated Python does not look beside its script

import micro_tests
from gpu_check import child, peers, report
from gpu_check.runtime import RuntimeFailureError, build_runtime
from gpu_check.watched import Ended, end_with_children, watch, write_whole

# (batch, heads, key heads, queries, keys): odd lengths, groups, one query, nothing at all, several tiles.
VERIFY_SIZES = [
    (1, 1, 1, 1, 1),
    (2, 4, 4, 17, 33),
    (1, 4, 2, 128, 128),
    (2, 6, 1, 97, 200),
    (1, 2, 2, 1, 1023),
    (1, 2, 2, 200, 113),
    (3, 2, 2, 64, 1025),
    (2, 2, 2, 5, 0),
    (1, 2, 2, 0, 8),
    (1, 8, 2, 513, 700),
]
QUICK_SIZES = [VERIFY_SIZES[i] for i in (3, 4, 7)]
#: Lengths that are timed, the first one of every kernel; heads that share keys, as models have them.
BENCH_LENGTHS = [8192, 4096, 2048, 16384]
BENCH_HEADS = (64, 8)
#: Without shared keys, and decoding: both beyond what the L2 cache holds.
OTHER_SIZES = [(4, 64, 8, 1, 32768), (2, 16, 16, 8192, 8192), (1, 32, 32, 1, 32768)]
#: Processes that a kernel may cost; its other sizes are left out then.
MOST_LOST = 2


def describe(sizes: tuple | list) -> str:
    return "B{} Hq{}/{} Sq{} Sk{}".format(*sizes)


def find_packs(folder: Path) -> list[Path]:
    """The packs below a folder; those inside of a fat pack come with it."""
    folders = {description.parent for description in folder.rglob("kernel.json")}
    return sorted(path for path in folders if not folders.intersection(path.parents))


def read_metadata(path: Path) -> dict:
    """What a pack computes, without loading it; of a fat pack, what its first one does."""
    try:
        metadata = json.loads((path / "kernel.json").read_text())
        for member in metadata.get("packs", []):
            if (path / member["path"] / "kernel.json").exists():
                return read_metadata(path / member["path"])
        return metadata
    except (OSError, ValueError):
        return {}


def targets_of(path: Path) -> list[str]:
    """The targets of a pack, without loading it."""
    try:
        metadata = json.loads((path / "kernel.json").read_text())
        return [member["target"] for member in metadata.get("packs", [metadata])]
    except (OSError, ValueError, KeyError):
        return []  # loading it says what is wrong


def kernel_name(metadata: dict) -> str:
    dtype = "tf32" if metadata.get("tf32") else metadata.get("dtype", "?")
    parts = [dtype, f"D{metadata.get('head_dim', '?')}"]
    if metadata.get("value_head_dim") != metadata.get("head_dim"):
        parts.append(f"Dv{metadata.get('value_head_dim')}")
    parts.append(metadata.get("mask") or "full")
    parts += ["bias"] if has_bias(metadata) else []
    return " ".join([*parts, "softcap"] if "softcap" in metadata else parts)


def has_bias(metadata: dict) -> bool:
    return any(operand.get("name") == "bias" for operand in metadata.get("operands", []))


def is_plain(metadata: dict) -> bool:
    """Whether others compute the same: no mask or a causal one."""
    plain = metadata.get("mask", "?") in ("", "causal(top_left)", "causal(bottom_right)")
    return plain and "softcap" not in metadata and not has_bias(metadata) and not metadata.get("score")


def is_headline(metadata: dict) -> bool:
    """The kernels that models run and that papers report."""
    square = metadata.get("head_dim") == metadata.get("value_head_dim") and metadata.get("head_dim") in (64, 128, 256)
    aligned = metadata.get("mask") != "causal(top_left)"  # the same as bottom_right where lengths are equal
    return square and aligned and metadata.get("dtype") == "bf16" and is_plain(metadata)


def importance(metadata: dict) -> tuple:
    dtypes, dims, masks = ["bf16", "f16", "f32", "f64"], [128, 64, 256], ["causal(bottom_right)", ""]

    def place(value: object, order: list) -> int:
        return order.index(value) if value in order else len(order)

    return (
        not is_headline(metadata),
        place(metadata.get("dtype"), dtypes),
        place(metadata.get("mask"), masks),
        place(metadata.get("head_dim"), dims),
    )


def work(metadata: dict, sizes: tuple) -> float:
    """Floating-point operations as the literature counts them: half of them under a causal mask."""
    batch, heads, _, queries, keys = sizes
    total = 2.0 * batch * heads * queries * keys * (metadata["head_dim"] + metadata["value_head_dim"])
    return total / 2 if "causal" in metadata.get("mask", "") else total


def cache_bytes(metadata: dict, sizes: tuple) -> float:
    """The bytes of K and V that a decoding step reads."""
    size = {"f64": 8, "f32": 4}.get(metadata["dtype"], 2)
    return float(sizes[0] * sizes[2] * sizes[4] * (metadata["head_dim"] + metadata["value_head_dim"]) * size)


def prediction_of(path: Path, target: str) -> dict:
    """What the model says that the code cannot exceed (flash-compile --report), where the pack has it."""
    for file in sorted(path.rglob("report.json")):
        prediction = json.loads(file.read_text())
        if prediction.get("target") == target:
            return prediction.get("prediction", {})
    return {}


class Check:
    """The check, and what it knows so far."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.lock = options, threading.RLock()
        self.start = time.monotonic()
        self.until = self.start + options.budget if options.budget else None
        self.found: dict = {"devices": [], "absent": []}
        self.abi, self.missing_device = 0, ""
        self.kernels: dict[Path, dict] = {}
        self.times: list[dict] = []
        self.steps: list[dict] = []
        self.fallbacks: list[str] = []
        self.instructions: dict = {"status": None, "output": ["not reached"]}
        self.peers: dict = {"versions": "", "missing": {}}
        self.state = "running"

    # --- Children ---

    def watch(self, job: dict, on_message: object, seconds: float) -> Ended:
        isolated = ["-I"] if sys.flags.isolated else []
        command = [sys.executable, *isolated, str(Path(__file__).resolve()), "--child"]
        if self.is_over():
            return Ended("out of time", "the check's time was over")
        return watch(command, on_message, seconds, {"runtime": self.options.runtime, **job}, self.until)

    def is_over(self) -> bool:
        return self.until is not None and time.monotonic() >= self.until

    def case_seconds(self) -> float:
        """A first launch includes the driver's assembler. An emulated device takes minutes for what a GPU does at once."""
        real = any(device["family"] in ("cuda", "hip") for device in self.found["devices"])
        emulated = (self.options.device or "").startswith("emulated") or not real
        return self.options.timeout or (1200 if emulated else 120)

    def run_cases(self, path: Path, cases: list[tuple[int, tuple]], seconds: float) -> tuple[dict, dict]:
        """What a kernel's process says of the kernel, and of each case; where one is lost, another goes on behind it."""
        about: dict = {}
        results: dict[int, dict] = {}
        lost = 0
        pending = list(cases)
        while pending:
            begun: list[int] = []

            def hear(message: dict, begun: list[int] = begun) -> None:
                with self.lock:
                    about.update({key: message[key] for key in ("loaded", "skipped") if key in message})
                    begun.extend([message["begin"]] if "begin" in message else [])
                    if "result" in message:
                        results[message["result"]["index"]] = message["result"]
                        self.fallbacks += [text for text in message["fallbacks"] if text not in self.fallbacks]

            job = {
                "do": "kernel",
                "pack": str(path),
                "device": self.options.device,
                "cases": pending,
                "seconds": seconds,
            }
            ended = self.watch(job, hear, self.case_seconds() + seconds)
            if ended.kind == "out of time" or "skipped" in about:
                break
            left = [case for case in pending if case[0] not in results]
            if not left:
                break
            lost += 1
            if ended.kind != "done":
                at = begun[-1] if begun and begun[-1] not in results else left[0][0]
                text = f"{ended.kind}: {ended.detail}" + ("" if begun else " while it was loaded")
                results[at] = {"index": at, "passed": False, "message": text}
            pending = [case for case in left if case[0] not in results]
            if lost >= MOST_LOST and pending:
                results[pending[0][0]] = {"index": pending[0][0], "passed": False,
                                          "message": f"and {len(pending)} sizes not tried after that"}  # fmt: skip
                break
        return about, results

    # --- Steps ---

    def find_devices(self) -> str:
        """Why nothing can be run, or nothing."""

        def hear(message: dict) -> None:
            self.found = message.get("found", self.found)
            self.abi = message.get("abi", self.abi)
            self.missing_device = message.get("missing", self.missing_device)

        ended = self.watch({"do": "devices", "device": self.options.device}, hear, 120)
        for device in self.found["devices"]:
            print(f"{device['name']:12} {device['description']} {device['driver']}")
        for absent in self.found["absent"]:
            print(f"{absent['name']:12} none: {absent['reason']}")
        return self.missing_device or (f"the devices: {ended.kind}: {ended.detail}" if ended.kind != "done" else "")

    def find_none(self, paths: list[Path]) -> str:
        """Why no device of the machine is of a kind that one of these packs is for, or nothing."""
        if not paths:
            return f"{self.options.packs}: expected packs (folders with a kernel.json), found none"
        found = [targets_of(path) for path in paths]
        targets = sorted({target for some in found for target in some})
        devices = [device["name"] for device in self.found["devices"]]
        families = {device.split(":")[0] for device in devices}
        for target in targets:
            family = target.split(":")[0]
            if {"nvptx": "cuda", "amdgpu": "hip"}.get(family, family) in families - {"emulated"} or target in devices:
                return ""
        if not all(found):
            return ""
        absent = [f"{absent['name']}: {absent['reason']}" for absent in self.found["absent"]]
        return (
            f"no device of this machine runs any of the packs, which are for {', '.join(targets)}; "
            f"expected one that does, got {'; '.join([', '.join(devices), *absent])}"
        )

    def run_instructions(self) -> None:
        folder = self.options.packs / "micro-tests"
        if not (folder / "tests.json").exists():
            self.instructions = {"status": None, "output": [f"there is no {folder / 'tests.json'}"]}
            return
        device = self.options.device or ""
        if device and device.split(":")[0] not in ("cuda", "hip"):
            self.instructions = {"status": None, "output": [f"{device} is no GPU"]}
            return
        # A fifth of the time at most: kernels are what this is for.
        until = self.until and min(self.until, time.monotonic() + 0.2 * self.options.budget)
        self.instructions = micro_tests.run_tests(folder, seconds=30, until=until, device=device)
        print(*self.instructions["output"][-1:], sep="\n", flush=True)

    def sizes(self) -> list[tuple]:
        return QUICK_SIZES if self.options.quick else VERIFY_SIZES

    def verify(self, path: Path) -> None:
        kernel = self.kernels[path]
        chosen = self.sizes()
        cases = list(enumerate(chosen))
        start = time.monotonic()
        about, results = self.run_cases(path, cases, 0)
        with self.lock:
            skipped = about.get("skipped", "")
            name = f"{path}: "  # without it, the reason is the same for all
            skipped = skipped[len(name) :] if skipped.startswith(name) else skipped
            kernel.update(about.get("loaded", {}), skipped=skipped, checked=len(results))
            kernel["seconds"] = round(time.monotonic() - start, 2)
            kernel["failures"] = [
                f"{describe(chosen[index])}: {result['message']}"
                for index, result in sorted(results.items())
                if not result["passed"]
            ]
            kernel["complete"] = len(results) == len(cases) or bool(kernel["skipped"] or kernel["failures"])
            if kernel["skipped"]:
                state = f"skipped: {report.shorten(kernel['skipped'], 200)}"
            else:
                state = f"{kernel['checked']} sizes, {len(kernel['failures'])} wrong, {kernel['seconds']:.1f} s"
            print(f"{kernel['pack']:32} {state}", flush=True)
            self.save()

    def verify_all(self, paths: list[Path]) -> None:
        with ThreadPoolExecutor(self.jobs()) as pool:
            list(pool.map(self.verify, paths))

    def jobs(self) -> int:
        real = any(device["family"] in ("cuda", "hip") for device in self.found["devices"])
        return self.options.jobs or (min(4, os.cpu_count() or 1) if real else 1)

    def bench(self, paths: list[Path], problems: list[tuple]) -> None:
        # Each kernel's first problem, then each one's second: what the time allows is of all of them.
        for sizes in problems:
            for path in paths:
                if self.is_right(path) and not self.is_over():
                    self.time_one(path, sizes)

    def problems(self) -> tuple[list[tuple], list[tuple]]:
        """What is timed of every kernel, and beside that of those that matter most."""
        lengths = [int(length) for length in self.options.lengths.split(",")]
        heads = tuple(int(count) for count in self.options.heads.split(","))
        square = [(1, *heads, length, length) for length in lengths]
        other = [] if self.options.no_decode else OTHER_SIZES
        return [*square[:1], *other[:1]], [*other[1:], *square[1:]]

    def is_right(self, path: Path) -> bool:
        kernel = self.kernels[path]
        return kernel["complete"] and not kernel["failures"] and not kernel["skipped"]

    def time_one(self, path: Path, sizes: tuple) -> None:
        kernel, metadata = self.kernels[path], read_metadata(path)
        row: dict = {"kernel": kernel["kernel"], "pack": kernel["pack"], "sizes": describe(sizes), "peers": {}}
        row.update(target=kernel["target"], device=kernel["device"], problem=list(sizes))
        _, results = self.run_cases(path, [(0, sizes)], self.options.seconds)
        if not results:
            return
        seconds = results[0].get("seconds")
        if seconds is None:
            row["error"] = results[0]["message"]
            kernel["failures"].append(f"{describe(sizes)}: {results[0]['message']}")
        else:
            decode = sizes[3] == 1
            amount = cache_bytes(metadata, sizes) if decode else work(metadata, sizes)
            row.update(ms=seconds * 1e3, unit="GB/s" if decode else "TFLOP/s", accuracy=results[0]["message"])
            row["rate"] = amount / seconds * (1e-9 if decode else 1e-12) if seconds else 0.0
            prediction = prediction_of(path, kernel["target"])
            if prediction and not decode:
                row["predicted"] = {**prediction, "measured_share": row["rate"] / prediction["peak_tflops"]}
        self.times.append(row)
        said = f"{row['rate']:9.1f} {row['unit']} {report.predicted_cell(row)}" if "ms" in row else row["error"]
        print(f"{row['kernel']:32} {row['sizes']:30} {said}", flush=True)
        self.save()

    def run_peers(self, rows: list[dict], names: list[str]) -> None:
        """Times others on the problems of these rows, a process for each kernel."""
        if not set(names) - set(self.peers["missing"]):
            return
        configurations: dict[tuple, list[dict]] = {}
        for row in rows:
            metadata = read_metadata(self.options.packs / row["pack"])
            device = self.options.peer_device or peers.device_beside(row["device"])
            if (
                "ms" not in row
                or not device
                or not is_plain(metadata)
                or metadata.get("tf32")
                or metadata["dtype"] not in peers.DTYPES
            ):
                continue
            if metadata["mask"] and row["problem"][3] not in (1, row["problem"][4]):
                continue
            key = (metadata["dtype"], metadata["head_dim"], metadata["value_head_dim"], metadata["mask"], device)
            configurations.setdefault(key, []).append(row)
        for (dtype, dim, value_dim, mask, device), rows_of_one in configurations.items():
            job = {"do": "peers", "dtype": dtype, "head_dim": dim, "value_head_dim": value_dim, "mask": mask}
            job.update(peer_device=device, seconds=self.options.seconds, names=names)
            self.time_peers({**job, "cases": [[i, row["problem"]] for i, row in enumerate(rows_of_one)]}, rows_of_one)
            if not set(names) - set(self.peers["missing"]):
                return

    def time_peers(self, job: dict, rows: list[dict]) -> None:
        skip: list = []
        while True:
            begun: list = []

            def hear(message: dict, begun: list = begun) -> None:
                self.peers.update({key: message[key] for key in ("versions", "missing") if key in message})
                if "begin" in message:
                    begun.append(message["begin"])
                    skip.append(message["begin"])
                if "peer" in message:
                    index, name = message["peer"]
                    row, seconds = rows[index], message.get("seconds")
                    # The same work over another time.
                    rate = row["rate"] * row["ms"] * 1e-3 / seconds if seconds else message["error"]
                    row["peers"][name] = rate
                    print(f"{row['kernel']:32} {row['sizes']:30} {name}: {rate if seconds is None else round(rate, 1)}")
                    begun.clear()
                    self.save()

            ended = self.watch({**job, "skip": skip}, hear, 180)
            if ended.kind in ("done", "out of time") or not begun:
                return
            index, name = begun[-1]
            rows[index]["peers"][name] = f"{ended.kind}: {ended.detail}"[:160]

    # --- All of it ---

    def step(self, name: str, run: object) -> None:
        if self.is_over():
            return
        start = time.monotonic()
        run()
        self.steps.append({"name": name, "seconds": round(time.monotonic() - start, 2)})
        self.save()

    def run(self, paths: list[Path]) -> None:
        described = {path: read_metadata(path) for path in paths}
        for path in paths:
            name = str(path.relative_to(self.options.packs)) or "."
            self.kernels[path] = {"pack": name, "kernel": kernel_name(described[path]), "target": "?", "device": "?",
                                  "failures": [], "checked": 0, "skipped": "", "complete": False}  # fmt: skip
        ordered = sorted(paths, key=lambda path: importance(described[path]))
        first = [path for path in ordered if is_headline(described[path])]
        others = [path for path in ordered if path not in first]
        self.step("instruction tests", self.run_instructions)
        each, more = self.problems()
        # Compiling takes Triton longer than everything else takes: it comes behind those that are there at once.
        ready = [name for name in peers.NAMES if "Triton" not in name]
        for name, group, rounds in (("first kernels", first, (each, more)), ("other kernels", others, (each,))):
            if not group:
                continue
            self.step(f"checking the {name}", lambda group=group: self.verify_all(group))
            if self.options.no_bench:
                continue
            for number, problems in enumerate(rounds):
                what, known = f"the {name}{', more sizes' * number}", len(self.times)
                self.step(f"timing {what}", lambda group=group, problems=problems: self.bench(group, problems))
                rows = self.times[known:]
                if rows and not self.options.no_peers:
                    self.step(f"peers of {what}", lambda rows=rows: self.run_peers(rows, ready))
                    self.step(f"Triton beside {what}", lambda rows=rows: self.run_peers(rows, ["Triton (flex)"]))
        if self.times and not self.options.no_peers and not self.peers["versions"] and not self.peers["missing"]:
            self.peers["missing"] = dict.fromkeys(peers.NAMES, "no kernel that they have, too, was timed on a GPU")
        self.state = "the time was over" if self.is_over() else "complete"
        self.save()

    def left_out(self) -> list[str]:
        """What the options say not to do."""
        options = self.options
        asked = {
            f"every device but {options.device} (--device)": options.device,
            f"{len(VERIFY_SIZES) - len(QUICK_SIZES)} of {len(VERIFY_SIZES)} sizes (--quick)": options.quick,
            "times (--no-bench)": options.no_bench,
            "decoding and heads of their own (--no-decode)": options.no_decode and not options.no_bench,
            "others' times (--no-peers)": options.no_peers and not options.no_bench,
        }
        return [what for what, given in asked.items() if given]

    def as_data(self) -> dict:
        machine = {
            "date": time.strftime("%Y-%m-%d %H:%M"),
            "system": f"{platform.system()} {platform.machine()}",
            "python": platform.python_version(),
            "runtime": f"flashc runtime, ABI {self.abi}",
            **self.found,
        }
        data = {"machine": machine, "state": self.state, "seconds": round(time.monotonic() - self.start, 1)}
        data.update(left_out=self.left_out(), compared=[describe(sizes) for sizes in self.sizes()])
        data.update(steps=self.steps, kernels=list(self.kernels.values()), instructions=self.instructions)
        data.update(times=self.times, fallbacks=self.fallbacks, peers=self.peers)
        return data

    def save(self) -> None:
        with self.lock:
            data = self.as_data()
            write_whole(self.options.report.with_suffix(".json"), json.dumps(data, indent=1))
            write_whole(self.options.report.with_suffix(".md"), report.to_markdown(data))


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("packs", type=Path, help="a folder with packs in it, at any depth")
    parser.add_argument("--runtime", help="libflashc_runtime.so")
    parser.add_argument("--source", type=Path, help="flashc's sources: the runtime is built with cmake, without LLVM")
    parser.add_argument("--device", help="'cuda:1'; by default the device that suits each pack best")
    parser.add_argument("--report", type=Path, default=Path("gpu-report"), help="prefix of the .md and .json written")
    parser.add_argument("--budget", type=float, help="seconds for everything; what is not reached is listed")
    parser.add_argument("--timeout", type=float, help="seconds for one size of one kernel (120; 1200 without a GPU)")
    parser.add_argument("--jobs", type=int, help="kernels that are compared at a time (4 on a GPU)")
    parser.add_argument(
        "--quick", action="store_true", help=f"compare {len(QUICK_SIZES)} sizes, not {len(VERIFY_SIZES)}"
    )
    parser.add_argument("--seconds", type=float, default=0.3, help="how long each case is timed")
    parser.add_argument("--lengths", default=",".join(map(str, BENCH_LENGTHS)), help="sequence lengths that are timed")
    parser.add_argument("--heads", default=",".join(map(str, BENCH_HEADS)), help="query and key heads that are timed")
    parser.add_argument("--no-bench", action="store_true", help="verify only")
    parser.add_argument("--no-decode", action="store_true", help="time no decoding, and no other heads")
    parser.add_argument("--no-peers", action="store_true", help="time nothing of others")
    parser.add_argument("--peer-device", help=argparse.SUPPRESS)  # a test's CPU
    options = parser.parse_args(arguments)
    if not options.runtime and not options.source:
        beside = Path(__file__).resolve().parent / "libflashc_runtime.so"
        if not beside.exists():
            parser.error("expected --runtime, --source, or libflashc_runtime.so beside this script")
        options.runtime = str(beside)
    return options


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    try:
        options.runtime = options.runtime or build_runtime(options.source)
    except RuntimeFailureError as failure:  # nothing to build with
        print(failure, file=sys.stderr)
        return 2
    options.report.parent.mkdir(parents=True, exist_ok=True)
    end_with_children()
    check = Check(options)
    problem = check.find_devices()
    packs = find_packs(options.packs)
    problem = problem or check.find_none(packs)
    if problem:
        check.state = problem
        check.save()
        print(problem, file=sys.stderr)
        return 2
    check.run(packs)
    data = check.as_data()
    print(report.to_markdown(data))
    print(f"report: {options.report.with_suffix('.md')}, {options.report.with_suffix('.json')}")
    kernels = data["kernels"]
    if any(kernel["failures"] for kernel in kernels) or data["instructions"]["status"] == 1:
        return 1
    if not all(kernel["complete"] for kernel in kernels) or check.state != "complete":
        return 3
    return 2 if all(kernel["skipped"] for kernel in kernels) else 0


if __name__ == "__main__":
    sys.exit(child.main() if sys.argv[1:] == ["--child"] else main())
