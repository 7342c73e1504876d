"""The functions of libflashc_runtime.so that the check uses, by ctypes."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import tempfile
from pathlib import Path

#: The words of FLASHC_ERROR_DEVICE.
DEVICE_ERROR = "the device could not load or run the kernel"


class Sizes(ctypes.Structure):
    """flashc_problem_sizes."""

    _fields_ = [(name, ctypes.c_int64) for name in ("batch", "heads", "kv_heads", "queries", "keys")]


class RuntimeFailureError(Exception):
    """What flashc_last_error says, with its status."""

    def __init__(self, text: str, word: str = "") -> None:
        super().__init__(f"{text} ({word})" if word else text)
        self.word = word


class Runtime:
    """The library."""

    def __init__(self, path: str) -> None:
        self.library = library = ctypes.CDLL(path)
        pointer, text = ctypes.c_void_p, ctypes.c_char_p
        for name, result, arguments in (
            ("flashc_last_error", text, []),
            ("flashc_status_string", text, [ctypes.c_int]),
            ("flashc_devices", text, []),
            ("flashc_runtime_abi_version", ctypes.c_uint32, []),
            ("flashc_device_name", text, [pointer]),
            ("flashc_device_find", ctypes.c_int, [text, pointer]),
            ("flashc_pack_load_on", ctypes.c_int, [text, pointer, pointer]),
            ("flashc_pack_device", pointer, [pointer]),
            ("flashc_pack_metadata", text, [pointer]),
            ("flashc_pack_unload", None, [pointer]),
            ("flashc_pack_verify", ctypes.c_int, [pointer, pointer, ctypes.c_uint64, pointer, text, ctypes.c_size_t]),
            ("flashc_pack_time", ctypes.c_int, [pointer, pointer, ctypes.c_double, pointer, pointer]),
        ):
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments

    def check(self, status: int) -> None:
        if status:
            word = self.library.flashc_status_string(status).decode()
            raise RuntimeFailureError(self.library.flashc_last_error().decode(errors="replace"), word)

    def devices(self) -> dict:
        return json.loads(self.library.flashc_devices().decode())

    def abi(self) -> int:
        return int(self.library.flashc_runtime_abi_version())

    def find(self, name: str) -> ctypes.c_void_p:
        device = ctypes.c_void_p()
        self.check(self.library.flashc_device_find(name.encode(), ctypes.byref(device)))
        return device


class Pack:
    """A loaded pack."""

    def __init__(self, runtime: Runtime, path: str, device: ctypes.c_void_p | None) -> None:
        self.runtime, self.handle = runtime, ctypes.c_void_p()
        library = runtime.library
        runtime.check(library.flashc_pack_load_on(os.fsencode(path), device, ctypes.byref(self.handle)))
        self.metadata = json.loads(library.flashc_pack_metadata(self.handle).decode())
        self.device = library.flashc_device_name(library.flashc_pack_device(self.handle)).decode()

    def verify(self, sizes: list, seed: int) -> tuple[bool, str]:
        """Whether the result is right, and the errors beside their bounds; of large problems some rows are compared."""
        passed, message = ctypes.c_int32(), ctypes.create_string_buffer(1024)
        self.runtime.check(
            self.runtime.library.flashc_pack_verify(
                self.handle, ctypes.byref(Sizes(*sizes)), seed, ctypes.byref(passed), message, len(message)
            )
        )
        return bool(passed.value), message.value.decode(errors="replace")

    def time(self, sizes: list, seconds: float) -> float:
        median = ctypes.c_double()
        self.runtime.check(
            self.runtime.library.flashc_pack_time(
                self.handle, ctypes.byref(Sizes(*sizes)), seconds, ctypes.byref(median), None
            )
        )
        return median.value


def build_runtime(source: Path) -> str:
    """Builds the runtime's library with cmake, without LLVM."""
    folder = tempfile.mkdtemp(prefix="flashc-runtime-")
    options = ["-DCMAKE_BUILD_TYPE=Release", "-DFLASHC_ENABLE_COMPILER=OFF", "-DFLASHC_ENABLE_TESTS=OFF"]
    for command in (
        ["cmake", "-S", str(source), "-B", folder, *options],
        ["cmake", "--build", folder, "--target", "flashc_runtime_shared", "-j", str(os.cpu_count() or 1)],
    ):
        try:
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        except OSError as error:
            raise RuntimeFailureError(
                f"--source: building the runtime needs cmake and a C++17 compiler: {error}; "
                "or bring a libflashc_runtime.so from another machine and give --runtime"
            ) from error
        if done.returncode:
            raise RuntimeFailureError(
                f"--source: '{' '.join(command)}' ended with {done.returncode}; it needs cmake, a C++17 compiler, "
                f"nlohmann_json and libmd (on Debian: apt install nlohmann-json3-dev libmd-dev):\n{done.stdout[-3000:]}"
            )
    return str(Path(folder) / "lib" / "libflashc_runtime.so")
