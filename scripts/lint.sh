#!/usr/bin/env bash
# Lint, formatting and types; BIN is where the tools are, by default the environment that `make` installs.
set -euo pipefail
cd "$(dirname "$0")/.."
BIN=${BIN:-.venv/bin}

"$BIN/ruff" check .
"$BIN/ruff" format --check .
"$BIN/python" scripts/link_packages.py
"$BIN/mypy" -p smolship
"$BIN/mypy" scripts tests $(test ! -d benchmarks || echo benchmarks)
