#!/usr/bin/env bash
# Everything that CI holds a change against: lint, formatting, types, the quick tests, then those on the real model and on devices.
set -euo pipefail
cd "$(dirname "$0")/.."
BIN=${BIN:-.venv/bin}

scripts/lint.sh
"$BIN/python" -m pytest -m "not real and not device and not slow"
"$BIN/python" -m pytest -m "(real or device or slow) and not machine"
