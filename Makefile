# Every command sets itself up: a virtual environment in .venv, made once and again only when pyproject.toml changes.
# Variables: PYTHON (which Python to make it with), EXTRAS (more to install, like EXTRAS=,cuda13), ARGS (for pytest
# and the benchmarks: make test ARGS="-k ward -x").

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input install --quiet
EXTRAS ?=
ARGS ?=

# What is installed is written into the stamp's name: another choice of extras is installed when it is first asked for.
stamp = $(VENV)/.installed-$(subst $(comma),-,$(1)$(EXTRAS))
comma := ,
# The tests compile kernels for CUDA without a GPU: with what EXTRAS brings for one, or with the newest compiler.
PTX := $(if $(findstring cuda,$(EXTRAS)),,$(comma)ptx)
RUN := $(call stamp,demo)
DEV := $(call stamp,dev$(PTX))
BENCH := $(call stamp,bench)
DOCS := $(call stamp,docs)
RELEASE := $(call stamp,release)

# With ARGS="-k dendrogram" nothing is left to simulate, of which pytest makes error 5.
NONE_CHOSEN := $(if $(ARGS),|| [ $$? -eq 5 ])

# Some hundred processes of the tests would compile the source each, and its tests twice, where bytecode is not kept.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help demo test smoke test-sweep test-mutants lint format bench test-gpu docs docs-serve dist clean

help:  ## Show this list.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | \
	    while IFS="$$(printf '\t')" read -r name text; do printf '  make %-12s %s\n' "$$name" "$$text"; done

demo: $(RUN)  ## Cluster the example data, compare with SciPy; pictures in out/demo.
	@$(BIN)/python -m gpuclust.app.cli demo --out out/demo

test: lint  ## Check style and types, then run the tests; those of CUDA in Numba's simulator.
	$(BIN)/python -m pytest -m "not gpu and not sweep" -n auto --dist loadfile $(ARGS)
	NUMBA_ENABLE_CUDASIM=1 $(BIN)/python -m pytest -m "emulated and not sweep" -n auto $(ARGS) $(NONE_CHOSEN)

# As a make of their own, which runs as many at once as there are cores, and prints what each says as a whole.
smoke: $(DEV)  ## A few tests on all other Pythons that are found, and with the lowest dependencies.
	@each=$$(.ci/smoke --list) || exit 1; \
	[ -n "$$each" ] || { echo "No other Python is found"; exit 0; }; \
	.ci/smoke --wheel && \
	    $(MAKE) --no-print-directory --keep-going --jobs=$$(nproc) --output-sync=target $$(printf 'smoke-%s ' $$each)

smoke-%:
	@.ci/smoke $*

test-sweep: $(DEV)  ## The long sweeps: every dimension, every metric, interruptions at many moments.
	$(BIN)/python -m pytest -m "sweep and not gpu" $(ARGS)
	NUMBA_ENABLE_CUDASIM=1 $(BIN)/python -m pytest -m emulated $(ARGS) $(NONE_CHOSEN)

test-mutants: $(DEV)  ## Plant bugs in the CPU's kernels, one at a time: which does the fuzzer not find? For hours.
	$(BIN)/python tests/mutants.py $(ARGS)

lint: $(DEV)  ## Check style and types, and the files for Docker.
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/hadolint docker/Dockerfile.*
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker/compose.yaml docker/compose.dask.yaml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml

format: $(DEV)  ## Put the source into its standard form.
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .

bench: $(BENCH)  ## Check against SciPy and fastcluster, then time; see benchmarks/.
	$(BIN)/python -m benchmarks $(ARGS)

test-gpu: $(DEV)  ## The tests that need a CUDA device (install with EXTRAS=,cuda12 or ,cuda13).
	$(BIN)/python -m pytest -m gpu $(ARGS)

# As many jobs as cores read pages, each of which runs its snippets.
docs: $(DOCS)  ## Build the documentation into docs/_build/html; snippets run, warnings are errors.
	$(BIN)/python -m sphinx -W --keep-going -q -j auto -b html docs docs/_build/html $(ARGS)
	@echo "docs/_build/html/index.html"

docs-serve: docs  ## Build the documentation, and show it at http://localhost:8000.
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory docs/_build/html 8000

dist: $(RELEASE)  ## Build wheel and sdist into dist/, check them, and try them in clean environments.
	.ci/dist $(BIN)/python

clean:  ## Delete the virtual environment, caches and results.
	rm -rf $(VENV) $(VENV)-* out build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -rf docs/_build docs/generated docs/api/generated docs/cli.md

# A virtual environment that was moved here, or whose Python is gone, is made anew; one of your own is used as it is.
made_at := $(shell cat $(VENV)/.made 2>/dev/null)
works := $(shell $(BIN)/python -c "import sys, pip; print(sys.version_info >= (3, 10))" 2>/dev/null)
ifneq ($(made_at) $(works),$(CURDIR) True)
$(shell rm -f $(VENV)/.made $(VENV)/.installed-*)
endif

$(VENV)/.made:
	@if [ "$(works)" != True ] || [ -n "$(made_at)" ]; then \
	    python=$$(PYTHON="$(PYTHON)" .ci/find-python) || exit 1; \
	    echo "Making $(VENV) with $$python"; \
	    "$$python" -m venv --clear $(VENV) || exit 1; \
	fi
	@echo "$(CURDIR)" > $@

# A pip older than 21.3 (Python 3.10.0 brings one) cannot install a project without a setup.py in place.
$(VENV)/.installed-%: pyproject.toml $(VENV)/.made
	@echo "Installing gpuclust[$(subst -,$(comma),$*)] into $(VENV) (once; a minute or two)"
	@$(PIP) "pip>=21.3"
	@$(PIP) --editable ".[$(subst -,$(comma),$*)]"
	@touch $@
