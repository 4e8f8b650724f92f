# Every target builds .venv from pyproject.toml and requirements-lock.txt first, if it is missing or stale,
# and does nothing about it (and needs no network) if it is not.
#
#   make PYTHON=/path/to/python3.12 test      to choose the Python

PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	if "$$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; \
	then echo "$$name"; break; fi; done)
PY := .venv/bin/python
PIP := -m pip --disable-pip-version-check -qq

# Compiled modules are kept: every worker and every command that a test starts would compile them anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help env test test-long lint types layers unit reproduce check docs linkcheck format parity benchmark \
	test-lowest test-wheel test-cluster lock clean

help:
	@echo "make reproduce    every table and figure, from the sheets in data/"
	@echo "make test         lint, types, import layers, tests"
	@echo "make test-long    the tests that take seconds each, which make test leaves out"
	@echo "make check        the committed tables and figures are what the scripts make"
	@echo "make docs         the documentation, in docs/_build/html"
	@echo "make linkcheck    whether the addresses in the documentation still answer (network)"
	@echo "make parity       the stored reference values, then R itself side by side"
	@echo "make benchmark    speed, side by side with R and Python peers"
	@echo "make test-lowest  tests and docs with the oldest supported versions"
	@echo "make test-wheel   every example of the documentation with the installed wheel, outside the checkout"
	@echo "make test-cluster long runs on worker processes of dask and ray (a download of 200 MB, 4 minutes)"
	@echo "make format       format the code"
	@echo "make lock         renew requirements-lock.txt"
	@echo "make clean        remove .venv and what was built"

reproduce: env
	$(PY) -m metaexo reproduce

check: env
	$(PY) -m metaexo reproduce --check

# The checks of the code use a core each, and so run side by side; the tests use them all.
SIDE_BY_SIDE := $(MAKE) --no-print-directory -j3 $(if $(filter output-sync,$(.FEATURES)),-O)
test: env
	@$(SIDE_BY_SIDE) lint types layers
	@$(MAKE) --no-print-directory unit

lint: env
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

types: env
	$(PY) -m mypy

layers: env
	.venv/bin/lint-imports

unit: env
	$(PY) -m pytest -n auto -m "not long"

test-long: env
	$(PY) -m pytest -n auto -m long

docs: env
	$(PY) -m sphinx -W --keep-going -q -j auto docs docs/_build/html
	$(PY) -m pytest -q tests/docs/test_site.py
	@echo "docs/_build/html/index.html"

# The addresses of other sites, which needs a network.
linkcheck: env
	$(PY) -m sphinx -b linkcheck -q -j auto docs docs/_build/linkcheck

format: env
	$(PY) -m ruff check --fix-only --exit-zero .
	$(PY) -m ruff format .

# The reference values were made with R and are stored, so the first part needs no R.
parity: env
	$(PY) -m tests.reference tests/reference/data
	@$(MAKE) --no-print-directory find-r
	$(PY) -m benchmarks.parity

# Dense R takes time with the cube of the effects: make benchmark DENSE=2000 adds ten minutes.
DENSE ?= 1000
benchmark: env find-r
	$(PY) -m benchmarks
	$(PY) -m benchmarks.figures
	$(PY) -m benchmarks.bias_speed
	$(PY) -m benchmarks.sensitivity_speed
	$(PY) -m benchmarks.subsets
	$(PY) -m benchmarks.count_models
	$(PY) -m benchmarks.multilevel --dense $(DENSE)

# A venv apart, with the lower bounds of pyproject.toml. Old versions of other packages warn about newer
# ones, so warnings are shown here and are no errors.
test-lowest: find-python
	"$(PYTHON)" -m venv --clear .venv-lowest
	.venv-lowest/bin/python $(PIP) install -r requirements-lowest.txt
	.venv-lowest/bin/python -m pytest -n auto -W default
	PYTHONPATH=. .venv-lowest/bin/python -m sphinx -q docs docs/_build/lowest

# A venv apart, with the wheel and what it depends on, and nothing else.
test-wheel: find-python
	"$(PYTHON)" -m venv --clear .venv-wheel
	.venv-wheel/bin/python $(PIP) install .
	.venv-wheel/bin/python -I tests/installed.py

# A venv apart, with the extras for clusters, which are large.
test-cluster: find-python
	"$(PYTHON)" -m venv --clear .venv-cluster
	.venv-cluster/bin/python $(PIP) install ".[test,parquet,dask,ray]"
	.venv-cluster/bin/python -m pytest tests/runs

lock: find-python
	"$(PYTHON)" -m venv --clear .venv-lock
	.venv-lock/bin/python $(PIP) install ".[dev]" "hatchling>=1.25" "editables>=0.5"
	@{ sed -n '/^#/p' requirements-lock.txt; \
	.venv-lock/bin/python -m pip freeze --exclude metaexo | sort -f; \
	echo 'colorama==0.4.6 ; sys_platform == "win32"'; } > requirements-lock.new
	mv requirements-lock.new requirements-lock.txt
	rm -rf .venv-lock

clean:
	rm -rf .venv .venv-lowest .venv-lock .venv-wheel .venv-cluster build dist docs/_build docs/api docs/gallery docs/reference.rst
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# ---------------------------------------------------------------- the environment

.PHONY: find-python
find-python:
	@if [ -z "$(PYTHON)" ]; then \
		echo "metaexo needs Python 3.11 to 3.14 and found none of them as python3, python3.14 ... python3.11." >&2; \
		echo "Install one, or name it: make PYTHON=/path/to/python test" >&2; exit 1; fi
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "metaexo needs Python 3.11 or newer; $(PYTHON) is older, or does not run." >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) has no venv module. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }

.PHONY: find-r
find-r:
	@Rscript --vanilla -e 'q(status = !all(c("metafor", "jsonlite") %in% rownames(installed.packages())))' \
		>/dev/null 2>&1 || { echo "R with the packages metafor and jsonlite is not here. On Debian:" >&2; \
		echo "apt-get install r-base-core r-cran-metafor r-cran-metadat r-cran-clubsandwich r-cran-jsonlite r-cran-lme4 r-cran-biasedurn" >&2; \
		exit 1; }

# The stamp holds what .venv was built from: the two files, and the folder (an environment cannot be moved).
env:
	@wanted="$$(cat pyproject.toml requirements-lock.txt | cksum) $$PWD"; \
	if [ "$$(cat .venv/built-from 2>/dev/null)" != "$$wanted" ] || ! $(PY) -c '' 2>/dev/null; then \
		$(MAKE) --no-print-directory .build-env && printf '%s\n' "$$wanted" > .venv/built-from; fi

.PHONY: .build-env
.build-env: find-python
	@echo "Building .venv with $$("$(PYTHON)" --version) (some minutes: its packages are downloaded) ..."
	@case "$$(cat .venv/built-from 2>/dev/null)" in *" $$PWD") $(PY) -c '';; *) false;; esac 2>/dev/null \
		|| "$(PYTHON)" -m venv --clear .venv
	@$(PY) $(PIP) install -r requirements-lock.txt && $(PY) $(PIP) install --no-deps --no-build-isolation -e . || { \
		echo "The packages in requirements-lock.txt could not be installed (see above)." >&2; \
		echo "They come from the Python package index: is there a network? On a machine for which a package has" >&2; \
		echo "no ready-made file, a C compiler is needed (Debian: apt-get install build-essential python3-dev)." >&2; \
		echo "Tried on Python 3.11 to 3.14; another one: make PYTHON=/path/to/python test" >&2; exit 1; }
