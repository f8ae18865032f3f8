PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: help demo test check docs format bench bench-models bench-measure bench-fetch bench-label bench-loader fuzz chaos soak clean

help:
	@echo "make demo    install, then the whole way on sample pictures: crawl, curate, train, restore"
	@echo "make test    install what tests need, and run them"
	@echo "make check   style, types, formatting, and whether the documentation builds"
	@echo "make docs    build the documentation's site into build/site"
	@echo "make format  put the code into the house's format"
	@echo "make bench   measure speed against named references: bench-measure, bench-fetch, bench-label, bench-models, bench-loader"
	@echo "make chaos   kill 30 crawls at random moments, resume them, and compare; make soak: 20,000 URLs of a hostile site"
	@echo "make fuzz    try the parsers of what servers send with many more examples than the tests do"

demo: $(VENV)/.demo
	$(BIN)/curate demo --out demo-run

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 --dist loadgroup

check: $(VENV)/.dev docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: bench-measure bench-fetch bench-label bench-models bench-loader

bench-measure: $(VENV)/.dev
	$(BIN)/python -m benchmarks.measure

bench-fetch: $(VENV)/.dev
	$(BIN)/python -m benchmarks.fetch --rtt 0.05
	$(BIN)/python -m benchmarks.fetch

bench-models: $(VENV)/.dev
	$(BIN)/python -m benchmarks.models

bench-label: $(VENV)/.dev
	$(BIN)/python -m benchmarks.label

bench-loader: $(VENV)/.dev
	$(BIN)/python -m benchmarks.loader

fuzz: $(VENV)/.dev
	HYPOTHESIS_PROFILE=fuzz $(BIN)/python -m pytest -n 2 -k "break or noise or any" \
	  tests/images/test_header.py tests/stages/fetch/test_politeness.py tests/stages/fetch/test_http_response.py \
	  tests/stages/fetch/test_http_framing.py tests/stages/fetch/test_content_coding.py tests/stages/fetch/test_guard.py \
	  tests/stages/fetch/test_robot_rules.py

chaos: $(VENV)/.dev
	$(BIN)/python -m benchmarks.chaos

soak: $(VENV)/.dev
	$(BIN)/python -m benchmarks.soak

clean:
	rm -rf $(VENV) demo-run build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

# A marker file per set of extras: installed again only when the package's needs change.
$(VENV)/.demo: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --editable '.[demo,train]'
	@touch $@

$(VENV)/.dev: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --editable '.[dev]'
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "curate needs Python 3.11 or newer: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --upgrade pip
