# The two commands: `make tables` runs the main job, `make test` the tests; both set up everything.
#   make tables PRESET=real_sequences SEQUENCES=../shared/sequences
PYTHON ?= python3
CORES ?= $(shell nproc)
PRESET ?=
SEQUENCES ?=
TORCH_INDEX ?=

VENV := $(CURDIR)/.venv
export PATH := $(VENV)/bin:$(PATH)
.DEFAULT_GOAL := help
.PHONY: help setup minkowski tables test check format lock docs

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: .venv/.ready ## create .venv with the pinned packages

.venv/.ready: envs/requirements.txt envs/debian-packages.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or later is needed; name one: make $(MAKECMDGOALS) PYTHON=python3.11" >&2; exit 1; }
	envs/install_debian_packages.sh envs/debian-packages.txt Open3D
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "No venv module: apt-get install python3-venv, then make again" >&2; exit 1; }
	pip install --quiet $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch==2.13.0
	pip install --quiet -r envs/requirements.txt
	pip install --quiet --no-deps --no-build-isolation -e .
	python -c 'import open3d, torch; print("open3d", open3d.__version__, "torch", torch.__version__)'
	touch $@

minkowski: setup .venv/.minkowski ## build MinkowskiEngine, for model.sparse_backend (CPU, 3 to 15 minutes once)

# Whatever setup replaced torch with, this was built for.
.venv/.minkowski: .venv/.ready envs/minkowski.txt envs/minkowski-debian-packages.txt envs/build_minkowski.sh
	envs/build_minkowski.sh $(VENV)/minkowski.log
	touch $@

tables: setup ## raw data -> result tables (PRESET=name of a file in presets/)
	$(if $(PRESET),python -m pipeline use-preset $(PRESET) $(if $(SEQUENCES),--raw "$(SEQUENCES)"))
	snakemake all_tables --cores $(CORES) --quiet host
	python -m pipeline print-tables

test: setup ## the tests, at most 10 minutes on 2 cores
	pytest

check: setup ## formatting, lint, import contracts, types
	ruff format --check .
	ruff check .
	snakefmt --check Snakefile rules
	lint-imports
	mypy

format: setup ## format Python and Snakemake code
	ruff format .
	ruff check --fix .
	snakefmt Snakefile rules

docs: setup ## regenerate the parts of docs/ that come from the code
	python -m pipeline write-docs

lock: ## renew envs/requirements.txt from envs/requirements.in
	rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock
	.venv-lock/bin/pip install --quiet -r envs/requirements.in
	{ sed -n '/^#/p' envs/requirements.txt; echo torch==2.13.0; \
	  .venv-lock/bin/pip freeze --all | grep -v "^pip=" | grep -v '^torch=='; } > envs/requirements.new
	mv envs/requirements.new envs/requirements.txt && rm -rf .venv-lock
