#!/usr/bin/env bash
# setup-venv.sh PYTHON VENV: makes the virtual environment, from PYTHON if it can, else from Debian's python3.
set -euo pipefail
python=$1 venv=$2
if ! "$python" -c 'import sys, ensurepip; assert sys.version_info >= (3, 10)' 2>/dev/null; then
  python=/usr/bin/python3
fi
echo "== virtual environment: $("$python" --version) in $venv"
"$python" -m venv "$venv"
