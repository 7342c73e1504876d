#!/usr/bin/env bash
# Installs the Debian packages that the machine lacks: LLVM and MLIR 19, the build tools, the test libraries.
# Prints nothing and asks no package server when everything is there.
set -euo pipefail

packages=(
  g++ cmake ninja-build ccache git
  llvm-19-dev libmlir-19-dev mlir-19-tools llvm-19-tools
  clang-19 lld-19 clang-format-19 clang-tidy-19 libclang-rt-19-dev
  libgtest-dev libgmock-dev libbenchmark-dev nlohmann-json3-dev libmd-dev libboost-context-dev
)

# An interpreter of the user's own may bring venv and headers with it; Debian's has both in packages of their own.
python="${PYTHON:-python3}"
if ! "$python" -c 'import ensurepip, os, sysconfig; assert os.path.exists(sysconfig.get_path("include") + "/Python.h")' 2>/dev/null; then
  packages+=(python3 python3-venv python3-dev)
fi

if ! command -v dpkg-query >/dev/null; then
  for tool in cmake ninja llvm-config-19 mlir-tblgen-19 clang++-19 ld.lld-19; do
    command -v "$tool" >/dev/null ||
      { echo "setup: '$tool' is missing and this is not a Debian system; install what Debian calls: ${packages[*]}" >&2; exit 1; }
  done
  exit 0
fi

missing=()
for package in "${packages[@]}"; do
  status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
  [[ $status == installed ]] || missing+=("$package")
done
((${#missing[@]})) || exit 0

as_root=()
if ((EUID != 0)); then
  if ! command -v sudo >/dev/null; then
    echo "setup: packages are missing and this is not root; run: apt-get install ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi
echo "== debian packages: ${missing[*]}"
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
