# make tutorial   the environment, then JupyterLab at the tutorial
# make test       the environment, then all tests, notebooks and, where a Chromium is, browser tests
#                 TESTS="tests/audio tests/protocol" runs some files or folders only
# make test-fast  without notebooks, kernels and browser
# make test-slow  what needs patience and is left out of make test; all tests of `live` on uvloop
# make check      ruff, mypy, import-linter, node --check where node is, then make test
# make fuzz       damaged input for every reader: SECONDS=600 SEED=7, or TEXTS=1000000 SOUNDS=100000
# make golden     write the recorded outputs anew (tests/golden); AREA=reviews for one of them
# make notebooks  run the notebooks and put them into their clean form
# make bench      the figures of the README, as ratios taken side by side
# make docs       the site, into build/site: notebooks run anew, links checked; NOTEBOOKS=kept runs none
# make release    VERSION=0.3.0: checks, builds and says what it would do; DRY=no commits and tags
# make picture    the picture of the README, taken in a Chromium

PYTHON ?= python3
# Tests that wait for sound leave the cores idle, so three workers suit two cores.
WORKERS ?= 3
VENV := .venv

.PHONY: tutorial install notebook-environment test test-fast test-slow fuzz golden check lint types layers format notebooks samples bench docs picture release clean

tutorial: notebook-environment
	@echo "Opening JupyterLab at the tutorial in your browser; Ctrl+C here ends it."
	$(BIN)/jupyter lab notebooks/tutorial.ipynb $(LAB_OPTIONS)

# `make … BIN=/path/to/environment/bin` uses an environment that exists already, as it is.
ifeq ($(origin BIN),command line)
DOCS_BIN := $(BIN)
install notebook-environment docs-environment:
	@test -x $(BIN)/python || { echo "BIN=$(BIN) holds no python"; exit 2; }
else
BIN := $(VENV)/bin
DOCS_BIN := .venv-docs/bin
docs-environment: .venv-docs/.made
install: $(VENV)/.made
# An environment for the tests holds all that the notebooks need.
notebook-environment: $(if $(wildcard $(VENV)/.made),$(VENV)/.made,$(VENV)/.made-for-notebooks)
endif

# Made anew only when pyproject.toml changes; nothing is needed but Python.
$(VENV)/.made: pyproject.toml
	@$(PYTHON) .ci/install.py --into $(VENV) --extra test
	@touch $@

$(VENV)/.made-for-notebooks: pyproject.toml
	@$(PYTHON) .ci/install.py --into $(VENV) --extra notebooks
	@touch $@

.venv-docs/.made: pyproject.toml
	@$(PYTHON) .ci/install.py --into .venv-docs --extra docs
	@touch $@

# tests/conftest.py says which tests stay on one worker, and which come first.
SIDE_BY_SIDE := -n $(WORKERS) --no-loadscope-reorder

test: install
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) $(TESTS)

test-fast: install
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m 'not browser and not notebook and not slow'

# Each run tries the tests of streams and servers on uvloop, too; this one, all of `live`.
test-slow: install
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) --loop=uvloop tests/live
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m slow

# Of one seed and number is the same input, always; STATE keeps what is done, to go on after a stop.
fuzz: install
	$(BIN)/python benchmarks/fuzz.py --seconds $(or $(SECONDS),60) $(if $(SEED),--seed $(SEED)) \
	    --texts $(or $(TEXTS),0) --sounds $(or $(SOUNDS),0) $(if $(STATE),--state $(STATE))

golden: install
	$(BIN)/python -m pytest tests/golden --regolden $(if $(AREA),-k 'nothing_that_users_see and $(AREA)')

check: lint types layers test

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python tests/lint_javascript.py

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

docs: docs-environment
	NO_MKDOCS_2_WARNING=1 NOTEBOOKS=$(NOTEBOOKS) $(DOCS_BIN)/python -m mkdocs build --strict

picture: install
	$(BIN)/python tests/make_picture.py

# It pushes and uploads nothing; CONTRIBUTING.md, "Release", has the procedure.
release: install
	@test -n "$(VERSION)" || { echo "Say which: make release VERSION=0.3.0"; exit 2; }
	$(BIN)/python .ci/release.py $(VERSION) $(if $(filter no,$(DRY)),--do)

clean:
	rm -rf $(VENV) .venv-docs .kernels .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
