.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
TESTABLE := $(VENV)/testable
RESULTS ?= results

help:  ## show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(READY): requirements.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

$(TESTABLE): $(READY) requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

bench: $(READY)  ## time a real network on real digits, prove that it is the same, write report.html
	$(BIN)/rigmark run quick --budget 330s --results $(RESULTS)
	$(BIN)/rigmark report --results $(RESULTS) --output report.html

test: $(TESTABLE)  ## run the tests
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

lint: $(TESTABLE)  ## check style, types and old-Python syntax
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/vermin --quiet --no-tips --violations -t=3.6- bench/worker/*.py bench/worker/tracing bench/worker/strategies/__init__.py bench/worker/strategies/replicas.py bench/worker/frameworks/*.py bench/worker/frameworks/numpy bench/worker/frameworks/mxnet

test-builds: $(READY)  ## frameworks of the past, each in an environment that its recipe makes, against the oracle
	$(BIN)/python -m evidence.legacy

fairness: $(READY)  ## is our step as fast as by hand? one small network in each framework, fails above 1.10
	$(BIN)/python -m evidence.fairness --model mnist_cnn --mode training --processes 6 --gate 1.10

format: $(TESTABLE)  ## let ruff fix what it can
	$(BIN)/ruff check --fix .

clean:  ## remove the environment and caches, not the results
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis

.PHONY: help bench test test-builds lint fairness format clean
