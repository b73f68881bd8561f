# make tutorial   the environment, then JupyterLab at the tutorial
# make test       the environment, then all tests, notebooks and, where a Chromium is, browser tests
# make check      ruff, mypy, import-linter, then make test
# make notebooks  run the notebooks and put them into their clean form
# make bench      the figures of the README, as ratios taken side by side
# make picture    the picture of the README, taken in a Chromium

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: tutorial install test test-fast check lint types layers format notebooks samples bench picture clean

tutorial: install
	$(BIN)/jupyter lab notebooks/tutorial.ipynb $(LAB_OPTIONS)

install: $(VENV)/.made

# Made anew only when pyproject.toml changes; plain venv and pip, nothing else is needed.
$(VENV)/.made: pyproject.toml
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $@

test: install
	$(BIN)/python -m pytest

test-fast: install
	$(BIN)/python -m pytest -m 'not browser and not notebook'

check: lint types layers test

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: install
	$(BIN)/mypy

layers: install
	$(BIN)/lint-imports

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

notebooks: install
	$(BIN)/python notebooks/run_and_clean.py

samples: install
	$(BIN)/python sample_audio/make_samples.py

bench: install
	$(BIN)/python benchmarks/run.py

picture: install
	$(BIN)/python tests/make_picture.py

clean:
	rm -rf $(VENV) .kernels .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
