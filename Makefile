# Needs Python 3.11, a C and C++ compiler and make; everything else goes into .venv.
SMOLSHIP := .venv/bin/smolship
INSTALLED := .venv/.installed

.PHONY: help install demo test quick test-board lint format reference quantisation bench bench-onnx bench-executorch bench-foreign bench-plan clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED) ## make .venv with smolship and everything it needs

# The installation is redone when what it was made from has changed.
$(INSTALLED): pyproject.toml requirements.lock scripts/install.sh
	scripts/install.sh
	touch $@

demo: install ## the main job on the real SmolLM2-135M-Instruct: six artefacts, each checked on its runtime
	$(SMOLSHIP) ship embedded --target host --out build/demo

test: install ## lint, types, every test (what CI runs)
	scripts/check.sh

quick: install ## the tests that take under two minutes
	OMP_NUM_THREADS=1 .venv/bin/python -m pytest --numprocesses auto --dist loadfile -m "not real and not device and not slow"

test-board: install ## tests on an emulated computer with a real arm64 kernel: memory that runs out
	.venv/bin/python -m pytest -m machine

lint: install ## lint, formatting, types
	scripts/lint.sh

format: install ## rewrite what the formatter and the linter can
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

reference: install ## write docs/reference from the tables in the code
	.venv/bin/python scripts/write_reference.py

quantisation: install ## draw divergence against size for docs/quantisation.md
	.venv/bin/python benchmarks/divergence_plot.py

bench: bench-onnx bench-executorch ## both

# TEXT=FILE takes another text than smolship's own for the fidelity.
TEXT ?= prose
bench-onnx: install ## our ONNX files beside other tools', interleaved; the graph against Optimum's (three quarters of an hour)
	.venv/bin/python benchmarks/onnx_proof.py --text $(TEXT) --json benchmarks/onnx_proof.json
	.venv/bin/python benchmarks/onnx_peers.py --text $(TEXT) --json benchmarks/onnx_peers.json

bench-executorch: install ## our .pte files beside those of ExecuTorch's own exporters, interleaved (an hour)
	.venv/bin/python benchmarks/executorch_peers.py --text $(TEXT) --json benchmarks/executorch_peers.json

bench-foreign: install ## make files with other tools, in environments of their own, and check each (an hour)
	.venv/bin/python benchmarks/foreign_files.py --json benchmarks/foreign_files.json

bench-plan: install ## sizes and memory that plan predicts for 360M and 1.7B beside files built of noise (an hour)
	.venv/bin/python benchmarks/plan_sizes.py --memory --json benchmarks/plan_sizes.json

clean: ## remove what was built, keep the environment
	rm -rf build dist .links .mypy_cache .ruff_cache .pytest_cache
