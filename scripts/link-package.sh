#!/usr/bin/env bash
# link-package.sh VENV BUILD: makes the package in BUILD/python importable in VENV.
set -euo pipefail
venv=$1 build=$2
# A linked environment belongs to another checkout, which keeps its own package.
[[ -L $venv ]] && exit 0
site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
line="$PWD/$build/python"
[[ -f $site/flashc.pth && $(<"$site/flashc.pth") == "$line" ]] || echo "$line" >"$site/flashc.pth"
