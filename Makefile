# Each command sets up its own .venv the first time, and again only where pyproject.toml or constraints.txt changed.
.PHONY: demo test lint docs bench clean
.DELETE_ON_ERROR:
SHELL := /bin/bash
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip install -qq --disable-pip-version-check -c constraints.txt
TORCH := $(shell grep '^torch==' constraints.txt)
# The first Python on the path that is new enough; or: make PYTHON=/usr/bin/python3.12 ...
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)

demo: $(VENV)/.installed
	@weights=$$($(PY) -m examples.assets mobilenet_v2) && mkdir -p build && \
	$(VENV)/bin/fxopt optimize examples.mobilenet_v2:network --weights "$$weights" --target cpu --threads 2 -o build/demo
	@echo "fxopt is installed in $(VENV); to have it on the path: . $(VENV)/bin/activate"

test: $(VENV)/.installed-dev
	$(PY) -m pytest -n 2 --dist worksteal -m "not serial"
	$(PY) -m pytest -m serial

lint: $(VENV)/.installed-dev
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy

docs: $(VENV)/.installed-dev
	$(PY) docs/generate.py
	$(PY) -m docs.figures
	$(VENV)/bin/mkdocs build --quiet --strict --site-dir build/site

bench: $(VENV)/.installed-dev
	@for script in benchmarks/bench_*.py; do echo "== $$script"; $(PY) -m benchmarks.$$(basename $$script .py) || exit 1; done

clean:
	rm -rf $(VENV) build

$(PY):
	@test -n "$(PYTHON)" || { echo "fxopt needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

# PyPI's torch for Linux is the CUDA build of several GB. Take the CPU build: from the configured indexes where they
# have it, else from PyTorch's own index, and only where neither answers the build that PyPI has.
$(VENV)/.torch: constraints.txt | $(PY)
	@echo "installing $(TORCH)"
	@$(PIP) --no-deps "$(TORCH)+cpu" 2>/dev/null \
	  || $(PIP) --no-deps --retries 1 --index-url https://download.pytorch.org/whl/cpu "$(TORCH)" 2>/dev/null \
	  || $(PIP) --no-deps "$(TORCH)"
	@touch $@

$(VENV)/.installed: pyproject.toml $(VENV)/.torch
	@echo "installing fxopt and its engines"
	@$(PIP) -e '.[all]'
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "installing what the tests need"
	@$(PIP) -e '.[all,dev,models]'
	@touch $@
