# IR tests: every .mlir (and .test, for command lines) file below test/, run with the tools of the build tree.
import os
import shutil

import lit.formats

config.name = "flashc"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = [".mlir", ".test"]
config.excludes = ["Inputs", "docs", "execution", "python", "runtime", "fuzz"]
config.test_source_root = os.path.dirname(__file__)
config.test_exec_root = os.path.join(config.flashc_build, "test")

# A test's `-D` needs no `$`, and a variable does not outlive its CHECK-LABEL block unless its name begins with `$`.
config.environment["FILECHECK_OPTS"] = "--enable-var-scope --dump-input-filter=error"
config.environment["PATH"] = os.pathsep.join(
    [os.path.join(config.flashc_build, "bin"), config.llvm_tools, config.environment["PATH"]]
)
config.environment["FLASHC_CACHE_DIR"] = os.path.join(config.test_exec_root, "cache")
for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"):
    if name in os.environ:
        config.environment[name] = os.environ[name]

config.substitutions.append(("%python", config.python))
config.substitutions.append(("%cc", shutil.which("cc") or "cc"))
config.substitutions.append(("%root", config.flashc_root))
config.substitutions.append(("%build", config.flashc_build))
# Where mlir-cpu-runner's libraries are.
config.substitutions.append(("%mlir_libs", os.path.join(os.path.dirname(config.llvm_tools), "lib")))

# What takes long: `REQUIRES: FLASHC_DEEP=1`.
config.environment["FLASHC_DEEP"] = os.environ.get("FLASHC_DEEP", "0")
if config.environment["FLASHC_DEEP"] == "1":
    config.available_features.add("FLASHC_DEEP=1")
else:
    lit_config.note(
        "tests of planted bugs in wide and rarer kernels are left out: they take minutes each, FLASHC_DEEP=1 runs them"
    )
