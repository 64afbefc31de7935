# Each target that needs Python sets up .venv first, so each works as the first command in a fresh clone.

PYTHON ?= python3
N ?= 1000
SEED ?= 0
BIN := .venv/bin
READY := .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help demo test quick lint types contracts fmt bench adapters norms lift zoo merging mutants micrographs scaling fuzz clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18

demo: $(READY) ## train a small RepVGG, compile, verify, export and measure it
	$(BIN)/python benchmarks/demo.py

test: lint types contracts ## everything: lint, types, import contracts, all tests
	$(BIN)/pytest -n 2

quick: lint contracts ## what should pass before a commit: no types, no slow tests
	$(BIN)/pytest -n 2 -m "not slow"

lint: $(READY) ## style and formatting
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(READY) ## pyright, strict for repc/
	$(BIN)/pyright --pythonpath $(BIN)/python

contracts: $(READY) ## who may import whom
	$(BIN)/lint-imports

fmt: $(READY) ## format, and mend what can be mended
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

bench: $(READY) ## compile time and latency against a hand-written conversion
	$(BIN)/python -m pip install -qq -c constraints.txt -e ".[bench]"
	$(BIN)/python -m benchmarks.run

norms: $(READY) ## batch norms left, against the conversions of others
	$(BIN)/python -m pip install -qq -c constraints.txt -e ".[bench]"
	$(BIN)/python -m benchmarks.norms

lift: $(READY) ## models of timm as specs, and whether they are the same networks
	$(BIN)/python -m pip install -qq -c constraints.txt -e ".[bench]"
	$(BIN)/python -m benchmarks.lift

adapters: $(READY) ## merged adapters against PEFT: lines of spec, error, time, memory
	$(BIN)/python -m pip install -qq -c constraints.txt -e ".[bench]"
	$(BIN)/python -m benchmarks.adapters

zoo: $(READY) ## models of timm folded without a spec, against timm's conversions; goes on where it was stopped
	$(BIN)/python -m pip install -qq -c constraints.txt -e ".[bench]"
	$(BIN)/python -m benchmarks.zoo

merging: $(READY) ## a LoRA merged into a 2 GB checkpoint, against copying it and against PEFT
	$(BIN)/python -m pip install -qq -c constraints.txt -e ".[bench]"
	$(BIN)/python -m benchmarks.merge

mutants: $(READY) ## wrong folds, and which checks refute them; N right folds
	$(BIN)/python -m benchmarks.mutants $(N) $(SEED)

micrographs: $(READY) ## small graphs after repc, ONNX Runtime, onnxsim and onnxslim
	$(BIN)/python -m pip install -qq -c constraints.txt -e ".[bench]"
	$(BIN)/python -m benchmarks.micrographs

scaling: $(READY) ## how long folding takes as graphs grow
	$(BIN)/python -m benchmarks.scaling

fuzz: $(READY) ## N random networks through the whole path: make fuzz N=10000 SEED=1
	$(BIN)/python -m benchmarks.fuzz $(N) $(SEED)

clean: ## remove everything that was made, the environment too
	rm -rf .venv build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache repc.egg-info
	find repc tests benchmarks grammar specs -name __pycache__ -prune -exec rm -rf {} +

$(READY): pyproject.toml setup.py constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version.split()[0]; sys.version_info >= (3, 11) or \
	  sys.exit("repc needs Python 3.11 or newer, this is %s; try: make PYTHON=python3.12 ..." % v)'
	@echo "[1/2] making .venv"
	@$(PYTHON) -m venv .venv
	@echo "[2/2] installing repc and its tools into .venv (a few minutes the first time)"
	@$(BIN)/python -m pip install -qq -c constraints.txt -e ".[test,dev,demo]"
	@touch $@
