# Needs Python 3.11 or newer and make; everything else is installed into .venv/.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
# Processes that test at once, each a file at a time: one more than two cores, as tests in a browser
# wait for much of their time. On a larger machine: make test TESTERS=8.
TESTERS ?= 3
SHARED := --numprocesses $(TESTERS) --dist loadfile --no-loadscope-reorder

# A stamp is written last, so that an interrupted install does not count as done.
MADE := $(VENV)/.made
APP := $(VENV)/.installed-app
DEV := $(VENV)/.installed-dev
CLUSTER := $(VENV)/.installed-cluster
PORT ?= 8786

.DEFAULT_GOAL := help
.PHONY: help app cluster test lint bench clean FORCE
.NOTPARALLEL:
.DELETE_ON_ERROR:

help:
	@echo 'make app     install what is missing and start the app; ARGS="--server.port 8502"'
	@echo 'make cluster a Dask scheduler and two workers on this machine, to try docs/cluster.md'
	@echo 'make test    lint and run every test, those in a browser included'
	@echo 'make lint    style, formatting and import rules'
	@echo 'make bench   what training costs, measured; three quarters of an hour'
	@echo 'make clean   remove .venv and caches of tools; results in cache/ stay'

app: $(APP)
	@$(BIN)/python -m streamlit run app.py $(ARGS)

cluster: $(CLUSTER)
	@echo "LOTTERY_SCHEDULER=tcp://127.0.0.1:$(PORT) make app, or run ... --scheduler tcp://127.0.0.1:$(PORT)"
	@trap 'kill 0' EXIT; \
	$(BIN)/python -m distributed.cli.dask_scheduler --host 127.0.0.1 --port $(PORT) --no-dashboard & \
	LOTTERY_CACHE=cache/cluster $(BIN)/python -m distributed.cli.dask_worker \
	    tcp://127.0.0.1:$(PORT) --nworkers 2 --nthreads 1 --no-dashboard $(ARGS)

test: lint
	@echo "Browser: $$($(BIN)/python -m tests.browser.browser)"
	$(BIN)/python -m pytest $(or $(strip $(ARGS)),$(SHARED))

lint: $(DEV)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/lint-imports

bench: $(DEV)
	$(BIN)/python -m benchmarks.training_overhead $(ARGS)
	$(BIN)/python -m benchmarks.speed --json cache/speed.json
	$(BIN)/python -m benchmarks.convolutions --json cache/convolutions.json
	$(BIN)/python -m benchmarks.chosen --json cache/chosen.json
	$(BIN)/python -m benchmarks.agreement
	$(BIN)/python -m benchmarks.by_hand
	$(BIN)/python -m benchmarks.runs
	$(BIN)/python -m benchmarks.explorer

clean:
	rm -rf build *.egg-info $(VENV) .pytest_cache .ruff_cache .hypothesis .import_linter_cache test-results
	rm -f static/plotly.min.js
	find app.py pages ui lottery_core tests benchmarks -name __pycache__ -prune -exec rm -rf {} +

# A Python that was updated or removed leaves an environment that can't start.
ifeq ($(shell $(BIN)/python -c 'import pip; print("starts")' 2>/dev/null),starts)
$(MADE):
else
$(MADE): FORCE
endif
	@rm -rf $(VENV)
	@for python in $(PYTHON) python3.13 python3.12 python3.11; do \
	    if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	        echo "Making $(VENV) with $$($$python --version)"; \
	        $$python -m venv $(VENV) && touch $@ && exit 0; \
	        echo "$$python can't make a virtual environment (on Debian: apt-get install python3-venv)" >&2; \
	        exit 1; \
	    fi; \
	done; \
	echo "Python 3.11 or newer is needed, and $(PYTHON) is $$($(PYTHON) --version 2>&1)." >&2; \
	echo "Install one, or name it: make PYTHON=/path/to/python3.12 ..." >&2; \
	exit 1

$(APP): $(MADE) requirements.txt constraints.txt
	@echo "Installing the app into $(VENV): PyTorch is large, so the first time takes minutes."
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements.txt
	@touch $@

$(CLUSTER): requirements-cluster.txt $(APP)
	@echo "Installing Dask into $(VENV)"
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements-cluster.txt
	@touch $@

$(DEV): requirements-dev.txt requirements-cluster.txt $(APP)
	@echo "Installing the test tools into $(VENV)"
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements-dev.txt
	@touch $@
