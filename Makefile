# The README's commands. Needs Python 3.11 or newer and make; everything else goes into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test check bench install lock clean

demo: install
	@$(BIN)/wxlogin demo $(ARGS)

test: $(VENV)/dev
	$(BIN)/pytest --numprocesses 4 $(ARGS)

check: $(VENV)/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pip-audit --requirement requirements/runtime.txt --disable-pip --progress-spinner off

bench: $(VENV)/bench
	$(BIN)/python -m benchmarks $(ARGS)

install: $(VENV)/runtime

$(VENV)/runtime: requirements/runtime.txt pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) ..." >&2
	@$(PIP) --require-hashes --requirement requirements/runtime.txt
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/dev $(VENV)/bench: $(VENV)/%: requirements/%.txt $(VENV)/runtime
	@$(PIP) --require-hashes --requirement requirements/$*.txt
	@touch $@

# Rewrites the hash-locked requirements from pyproject.toml; needs uv.
LOCK = uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header $(UPGRADE)
lock:
	$(LOCK) pyproject.toml --group build --output-file requirements/runtime.txt
	$(LOCK) --group dev --constraint requirements/runtime.txt --output-file requirements/dev.txt
	$(LOCK) --group bench --constraint requirements/runtime.txt --output-file requirements/bench.txt

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache build dist
