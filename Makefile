PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test test-all coverage lab lint bench docs lock clean

run: $(VENV)/.ready   ## train on the bundled data, print where the report is
	$(BIN)/qnb run train

test: $(VENV)/.ready lint   ## everything that is quick: under ten minutes on two cores
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"

test-all: $(VENV)/.ready lint   ## the slow tests too: under an hour
	$(BIN)/python -m pytest -n 2 --dist loadfile
	$(BIN)/python -m pytest --nbmake --nbmake-timeout=900 notebooks/train.ipynb

coverage: $(VENV)/.ready   ## the quick tests, and the lines that none of them reaches, those of kernels and runs included
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow" --cov --cov-report=term

lab: $(VENV)/.ready   ## JupyterLab on the notebooks
	$(BIN)/jupyter lab notebooks

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.ready   ## speed of the engines and of the data path, as tables with ratios
	$(BIN)/python -m benchmarks

PAGES = $(patsubst %.py,%,$(filter-out qnb/__init__.py,$(wildcard qnb/*.py))) $(patsubst %/__init__.py,%,$(wildcard qnb/*/__init__.py))
docs: $(VENV)/.ready   ## the public interface, from the docstrings, into site/
	$(BIN)/python -c 'import qnb, pdoc.__main__; vars(qnb).update((name, getattr(qnb, name)) for name in qnb.__all__); pdoc.__main__.cli()' \
	  --docformat google --output-directory site qnb $(subst /,.,$(PAGES))

$(VENV)/.ready: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13) and "qnb needs Python 3.11, 3.12 or 3.13; this is " + sys.version.split()[0] + ". Name another with: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	touch $@

lock:   ## resolve requirements.lock anew (needs uv)
	uv pip compile pyproject.toml --extra test --extra build --extra docs --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-annotate --no-header --quiet -o requirements.lock

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache
