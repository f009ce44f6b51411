#!/usr/bin/env bash
# Make the virtual environment .venv and install smolship into it, editable, with every extra, at the locked versions.
set -euo pipefail
cd "$(dirname "$0")/.."

python=$(sh scripts/find_python.sh)
command -v c++ >/dev/null || {
    echo "error: no C++ compiler (c++) found; llama.cpp is compiled here: install one, for example Debian's build-essential" >&2
    exit 1
}
export PIP_DISABLE_PIP_VERSION_CHECK=1
# llama.cpp takes a few minutes to compile: use every core, whatever build tool its build finds.
CMAKE_BUILD_PARALLEL_LEVEL=$(getconf _NPROCESSORS_ONLN)
export CMAKE_BUILD_PARALLEL_LEVEL
# GCC 12 drops the stores that fill llama.cpp's AMX tile configuration, and every matrix product then ends in SIGSEGV on
# a processor with AMX: its kernels are left out (docs/decisions.md).
without_amx="-mno-amx-tile -mno-amx-int8 -mno-amx-bf16"
# shellcheck disable=SC2086  # three words
if c++ $without_amx -E -x c++ /dev/null >/dev/null 2>&1; then
    export CFLAGS="${CFLAGS:-} $without_amx" CXXFLAGS="${CXXFLAGS:-} $without_amx"
fi
# The multimodal tools are a quarter of llama.cpp's build, and nothing here calls them.
export CMAKE_ARGS="${CMAKE_ARGS:-} -DLLAVA_BUILD=OFF"
[ -x .venv/bin/pip ] || "$python" -m venv .venv
.venv/bin/pip install --quiet --constraint requirements.lock pip setuptools
echo "installing the locked versions into .venv (the first time compiles llama.cpp for some minutes)"
# setuptools warns at every editable install that folders named like packages take precedence; ours are meant to be there.
PYTHONWARNINGS=ignore .venv/bin/pip install --quiet --constraint requirements.lock --editable '.[all,dev]'
.venv/bin/pip check
