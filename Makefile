# The commands of the project; each installs what the machine lacks, builds, and runs. A second run redoes only what changed.
#
#   make demo     attention compiled just in time, verified and measured
#   make test     every check: formatting, lint, unit tests, IR tests, execution
#   make build    the tools in build/bin and the Python package in build/python
#   make bench    flashc beside its peers and the machine's limit: table, JSON, plots (BENCH_ARGS="--subset sweep")
#   make graphs   models of real frameworks: exported, raised, compiled, and compared with the framework's results
#   make gpu-packs  kernels for GPUs, with the check that goes with them to a machine that has one (GPU_ARGS="--quick", "--emulated")
#   make lint | check-lit | docs | asan | tsan | setup | clean
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := build
.PHONY: build setup demo test bench bench-peers graphs gpu-packs lint check-lit docs asan tsan clean help

PYTHON ?= python3
JOBS ?= $(shell nproc)
BUILD := build
VENV := .venv
PY := $(VENV)/bin/python
STAMPS := $(VENV)/.flashc
# What flashc is measured beside: heavy, and apart from what it is built with.
BENCH_VENV := .venv-bench

help:
	@sed -n 's/^#   //p' Makefile

# --- set-up: Debian packages, then one virtual environment in three layers ---
setup:
	@scripts/setup-system.sh

$(VENV)/bin/python: | setup
	@scripts/setup-venv.sh $(PYTHON) $(VENV)

# A layer is installed again when its list changes.
$(STAMPS)-%.stamp: requirements/%.txt | $(VENV)/bin/python
	@echo "== python packages: $*"
	@$(PY) -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@
$(STAMPS)-demo.stamp: $(STAMPS)-build.stamp
$(STAMPS)-test.stamp: $(STAMPS)-demo.stamp
$(STAMPS)-bench.stamp: $(STAMPS)-demo.stamp
$(STAMPS)-graphs.stamp: requirements/graphs.txt requirements/graphs-alone.txt $(STAMPS)-test.stamp
	@echo "== python packages: graphs"
	@$(PY) -m pip install --quiet --disable-pip-version-check -r requirements/graphs.txt
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps -r requirements/graphs-alone.txt
	@touch $@

# --- build ---
CMAKE_PYTHON = -DFLASHC_ENABLE_PYTHON=ON -DPython_EXECUTABLE=$(abspath $(PY))

$(BUILD)/build.ninja: $(STAMPS)-build.stamp CMakePresets.json
	@cmake --preset release $(CMAKE_PYTHON)
	@touch $@

build: setup $(BUILD)/build.ninja
	@ninja -C $(BUILD) -j $(JOBS)
	@scripts/link-package.sh $(VENV) $(BUILD)

# --- use ---
demo: build $(STAMPS)-demo.stamp
	@PYTHONPATH=$(BUILD)/python $(PY) bench/demo.py

bench: build bench-peers $(STAMPS)-bench.stamp
	@PYTHONPATH=$(BUILD)/python $(PY) -m flashc.bench --json $(BUILD)/bench.json --plots $(BUILD)/bench $(BENCH_ARGS)

bench-peers: $(BENCH_VENV)/peers.stamp
$(BENCH_VENV)/peers.stamp: python/flashc/bench/peers.txt | build
	@PYTHONPATH=$(BUILD)/python $(PY) -m flashc.bench --install-peers --peers-env $(BENCH_VENV)
	@touch $@

test: build $(STAMPS)-test.stamp
	@$(PY) scripts/run_tests.py --build $(BUILD) $(TEST_ARGS)

graphs: build $(STAMPS)-graphs.stamp
	@PATH=$(abspath $(BUILD))/bin:$$PATH PYTHONPATH=$(BUILD)/python $(PY) scripts/check_graphs.py

gpu-packs: build
	@$(PY) scripts/make_gpu_packs.py --build $(BUILD) --out $(BUILD)/gpu-packs $(GPU_ARGS)

lint: build $(STAMPS)-test.stamp
	@$(PY) scripts/lint.py --build $(BUILD)
	@$(PY) scripts/lint.py --build $(BUILD) --only clang-tidy-all

check-lit: build $(STAMPS)-test.stamp
	@ninja -C $(BUILD) check-lit

docs: build
	@$(PY) docs/generate.py --build $(BUILD)
	@$(BUILD)/bin/flash-compile --head-dim 64 --mask "causal(top_left)" --target host -o $(BUILD)/docs/example \
	  --explain $(BUILD)/docs/stages.html && echo "each stage of a kernel: $(BUILD)/docs/stages.html"

# The whole compiler under AddressSanitizer and UndefinedBehaviorSanitizer, the runtime under ThreadSanitizer. LLVM's arenas
# poison what they have not handed out where they are instrumented; Debian's libraries hand it out without saying so.
asan: setup $(STAMPS)-test.stamp
	@cmake --preset asan-ubsan -DPython_EXECUTABLE=$(abspath $(PY))
	@ninja -C build-asan -j $(JOBS)
	@ASAN_OPTIONS=allow_user_poisoning=0 $(PY) scripts/run_tests.py --build build-asan --only ctest,lit

tsan: setup $(STAMPS)-test.stamp
	@cmake --preset tsan -DPython_EXECUTABLE=$(abspath $(PY))
	@ninja -C build-tsan -j $(JOBS)
	@$(PY) scripts/run_tests.py --build build-tsan --only ctest

clean:
	rm -rf build build-*
