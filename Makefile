# Everything a user or a CI runs. Python 3.11, make and pip are all that is needed before.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
AT_ONCE ?= 2
STAMP := $(VENV)/.installed-$(shell cat pyproject.toml service/requirements.txt tests/requirements.txt Makefile 2>/dev/null | cksum | cut -d' ' -f1)

.PHONY: setup serve demo check settings test fuzz faults faults-cluster image image-test bench bench-serving clean
setup: $(STAMP)

$(STAMP):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=<path>"; exit 1; }
	@echo "Setting up $(VENV): some minutes, some 2 GB"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r service/requirements.txt -r tests/requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@rm -f $(VENV)/.installed-*
	@touch $@

serve: setup
	$(BIN)/python -m service

demo: setup
	$(BIN)/python -m service.demo $(DATA)

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports

settings: setup
	$(BIN)/python -m service.settings_table

# A file's tests stay together, for they share services; in the order of names, which has short files at its end.
test: setup
	$(BIN)/pytest -n $(AT_ONCE) --dist loadfile --no-loadscope-reorder

fuzz: setup
	$(BIN)/python -m tests.fuzz $(FUZZ)

# Needs strace, and a system that lets it trace.
faults: setup
	$(BIN)/python -m tests.faults.sweep

faults-cluster: setup
	$(BIN)/python -m tests.faults.cluster $(FAULTS)

image: setup
	PYTHON=$(abspath $(BIN)/python) service/deploy/image.sh

image-test: setup
	$(BIN)/pytest tests/image

bench: setup
	$(BIN)/python -m tests.bench

bench-serving: setup
	$(BIN)/python -m tests.bench.serving $(PARTS)

clean:
	rm -rf $(VENV) build bench-results .pytest_cache .ruff_cache
