#!/usr/bin/env bash
# Everything that CI holds a change against: lint, formatting, types, the quick tests, then those on the real model and on devices.
set -euo pipefail
cd "$(dirname "$0")/.."
BIN=${BIN:-.venv/bin}

# Tests on tiny models share the processor's cores, a file to each and a thread to each: more would wait for one another.
# What measures speeds, or has deadlines on a device, has the machine to itself.
on_all_cores() {
    OMP_NUM_THREADS=1 "$BIN/python" -m pytest --numprocesses "$(getconf _NPROCESSORS_ONLN)" --dist loadfile --durations 60 "$@"
}

scripts/lint.sh
on_all_cores -m "not real and not device and not slow"
on_all_cores -m "slow and not real and not device"
"$BIN/python" -m pytest --durations 60 -m "(real or device) and not machine"
