# make         set up .venv and make results/table.md
# make test    set up .venv with the development tools and run the tests
# make bench   time everything against its rival (half an hour; nothing else should run)
# make gpu     on a machine with a GPU: is it right, how fast is it, where does time go (8 minutes;
#              results/first_hour.json)
# make audit   ask for known vulnerabilities of the packages in .venv
# make compat  the tests that torch has a part in, with the oldest and the newest Python and torch
#              that are supported and that this machine has (in build/compat, gigabytes)
# make docs    README.md and docs/ as a site, build/docs/index.html; make docs-linkcheck asks the
#              network for every external link
# make check   format, lint, types and the fast tests: the inner loop
#
# On Linux PyPI's torch is built for CUDA and brings several gigabytes with it. On a machine
# without a GPU give PyTorch's own index of CPU builds:
#     make TORCH_INDEX=https://download.pytorch.org/whl/cpu
# torch is named in the same command as all else: on its own, pip would afterwards replace it by
# the newest one that timm's torchvision is built for.

# the first one that will do is taken
PYTHON ?= python3.14 python3.13 python3.12 python3.11 python3
VENV ?= .venv
TORCH ?= torch==2.13.0
TORCH_INDEX ?=
BIN = $(VENV)/bin
# pip's scripts name their python with the whole path, which breaks where that has quotes in it
RUN = $(BIN)/python -m
PIP_INSTALL = $(RUN) pip install --quiet $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) $(TORCH)
# tests: a file at a time, one more at once than there are cores, those that take long first
# (tests/conftest.py); threads that wait for others leave the core to them (parity computes with
# several, too), and what was compiled is kept
PYTEST = PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(RUN) pytest \
    --numprocesses logical --dist loadfile --no-loadscope-reorder --durations 40 --durations-min 10
SPHINX = $(RUN) sphinx --quiet --fresh-env --fail-on-warning --keep-going --conf-dir docs
SOURCES = semask workflow_scripts benchmarks tests docs/conf.py .ci/audit.py
BENCHMARKS = input_pipeline labels model train_step evaluation whole_run

# Snakemake wants a user with a name, and a home that can be written to; a container may have neither
USER ?= $(firstword $(shell id -un 2> /dev/null; id -u))
export USER
ifndef XDG_CACHE_HOME
ifneq (yes,$(shell mkdir -p "$$HOME/.cache" 2> /dev/null && test -w "$$HOME/.cache" && echo yes))
export XDG_CACHE_HOME = $(CURDIR)/.snakemake/cache
export MPLCONFIGDIR = $(XDG_CACHE_HOME)
endif
endif

.PHONY: table test slow-test slurm-test bench gpu audit compat docs docs-linkcheck check lint

table: $(VENV)/installed
	$(RUN) snakemake --cores all results/table.md

test: $(VENV)/installed-dev
	$(PYTEST)

slow-test: $(VENV)/installed-dev
	$(PYTEST) -m slow

# as root, on a machine with Debian's slurmctld, slurmd, slurm-client and munge, and no other Slurm
slurm-test: $(VENV)/installed-dev
	$(RUN) pytest -m slurm

bench: $(VENV)/installed-dev
	failed=; for name in $(BENCHMARKS); do $(RUN) benchmarks.$$name || failed=1; done; test -z "$$failed"

gpu: $(VENV)/installed
	$(RUN) benchmarks.first_hour --output results

audit: $(VENV)/installed-dev
	$(BIN)/python .ci/audit.py $(RUN) pip_audit

compat:
	TORCH_INDEX="$(TORCH_INDEX)" .ci/compat

# Every page is read anew: one that did not change would not repeat its warnings. Of the images,
# Sphinx misses those in HTML tags.
docs: $(VENV)/installed-dev
	$(SPHINX) . build/docs
	cp docs/*.png build/docs/docs
	cp build/docs/README.html build/docs/index.html
	@echo build/docs/index.html

docs-linkcheck: $(VENV)/installed-dev
	$(SPHINX) --builder linkcheck . build/docs-linkcheck

check: $(VENV)/installed-dev
	$(BIN)/ruff format $(SOURCES)
	$(RUN) snakefmt Snakefile rules
	$(MAKE) --no-print-directory lint
	$(PYTEST) -m "not slow and not workflow"

lint: $(VENV)/installed-dev
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(RUN) mypy
	$(BIN)/python -c 'from importlinter.cli import lint_imports_command as lint; lint()' --no-logo --no-cache
	$(RUN) snakefmt --check Snakefile rules
	$(RUN) snakemake --lint

$(VENV)/installed: pyproject.toml
	@for python in $(PYTHON); do \
	    $$python -c 'import sys, venv, ensurepip; assert (3, 11) <= sys.version_info < (3, 15)' \
	        2> /dev/null && exec $$python -m venv $(VENV); \
	done; \
	echo "error: $(PYTHON): none is Python 3.11 to 3.14 with venv and ensurepip; install one (Debian and" \
	    "Ubuntu: its -venv package, too), or name it: make PYTHON=/usr/bin/python3.12" >&2; exit 1
	$(PIP_INSTALL) --editable .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(PIP_INSTALL) --editable '.[dev,docs]'
	touch $@
