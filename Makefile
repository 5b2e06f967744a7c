PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test test-all coverage lab lint bench docs reference peers lock clean

run: $(VENV)/.ready   ## train on the bundled data, print where the report is
	$(BIN)/qnb run train

test: $(VENV)/.ready-test lint   ## everything that is quick: under ten minutes on two cores
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"

test-all: $(VENV)/.ready-test lint   ## the slow tests too: under an hour
	$(BIN)/python -m pytest -n 2 --dist loadfile
	$(BIN)/python -m pytest --nbmake --nbmake-timeout=900 notebooks/train.ipynb

coverage: $(VENV)/.ready-test   ## the quick tests, and the lines that none of them reaches, those of kernels and runs included
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow" --cov --cov-report=term

lab: $(VENV)/.ready   ## JupyterLab on the notebooks; what cells show is not saved in them
	$(BIN)/jupyter lab --config notebooks/jupyter_lab_config.py notebooks

lint: $(VENV)/.ready-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.ready   ## speed of the engines and of the data path, as tables with ratios
	$(BIN)/python -m benchmarks

reference: $(VENV)/.ready   ## run every reference report that is out of date (hours), or REPORTS="train tune"; go on with the same command
	$(BIN)/python -m qnb.reports $(REPORTS)

docs: $(VENV)/.ready-test   ## guide, formulas, reports and the Python interface as a site, site/index.html
	$(BIN)/python docs/site.py site

# What a lock lists is what is installed, and nothing is resolved: no dependency is followed, each file is known by its hash.
# This is the one place that says how; every other text names a target of this file.
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes

$(VENV)/.ready: requirements.lock pyproject.toml   ## the environment that running needs
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13) and "qnb needs Python 3.11, 3.12 or 3.13; this is " + sys.version.split()[0] + ". Name another with: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv --clear $(VENV)
	$(INSTALL) -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	$(BIN)/python -m pip check
	touch $@

$(VENV)/.ready-test: $(VENV)/.ready requirements-test.lock   ## and what testing, linting and documenting need beside it
	$(INSTALL) -r requirements-test.lock
	$(BIN)/python -m pip check
	touch $@

peers: $(VENV)/.ready   ## other simulators, for throughput.ipynb and make bench to stand beside
	$(INSTALL) -r requirements-peers.lock

UV_COMPILE = uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
  --no-emit-index-url --no-annotate --no-header --quiet
# the second and the third lock hold what the first one does not
BESIDE = --constraint requirements.lock $$(sed -n 's/^\([a-z0-9._-]*\)==.*/--no-emit-package \1/p' requirements.lock)
lock:   ## resolve the locks anew (needs uv)
	$(UV_COMPILE) --extra build -o requirements.lock
	$(UV_COMPILE) --extra build --extra test --extra docs $(BESIDE) -o requirements-test.lock
	$(UV_COMPILE) --extra build --extra bench $(BESIDE) -o requirements-peers.lock

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
