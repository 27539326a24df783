# The README's commands. Needs Python 3.11 or newer and make; everything else goes into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SDKS := tests/support/sdks/node
EXPRESS := examples/backends/express
FASTIFY := benchmarks/fastify
DOCS := docs/site
SITE := build/site
CLIENT := clients/miniprogram
NODE_MODULES := node_modules/.package-lock.json
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# Each process of the tests imports all of them, which takes half the time from Python's cache.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-image test-dist coverage check docs bench image dist install lock clean

demo: install
	@$(BIN)/wxlogin demo $(ARGS)

test: $(VENV)/dev $(SDKS)/$(NODE_MODULES) $(EXPRESS)/$(NODE_MODULES) $(CLIENT)/$(NODE_MODULES)
	$(BIN)/pytest --numprocesses 8 --dist worksteal $(ARGS)

# What of the code `make test` runs, the processes of the service included. Takes three times as long.
coverage: $(VENV)/dev $(SDKS)/$(NODE_MODULES) $(EXPRESS)/$(NODE_MODULES) $(CLIENT)/$(NODE_MODULES)
	$(BIN)/coverage run -m pytest --numprocesses 8 --dist worksteal $(ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

check: $(VENV)/dev docs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile
	$(BIN)/pip-audit --requirement requirements/pip.txt --requirement requirements/runtime.txt --disable-pip --progress-spinner off

# The documentation as a site, from the same pages in each language. A link without a target is an error.
SPHINX = $(BIN)/sphinx-build --quiet --fail-on-warning --fresh-env --conf-dir $(DOCS)
docs: $(VENV)/dev $(DOCS)/$(NODE_MODULES)
	rm -rf $(SITE)
	$(SPHINX) --doctree-dir $(SITE).doctrees/en . $(SITE)
	$(SPHINX) --doctree-dir $(SITE).doctrees/zh-CN --define language=zh_CN . $(SITE)/zh-CN

bench: $(VENV)/bench $(FASTIFY)/$(NODE_MODULES)
	$(BIN)/python -m benchmarks.calls
	$(BIN)/python -m benchmarks $(ARGS)

install: $(VENV)/runtime

$(VENV)/runtime: requirements/pip.txt requirements/runtime.txt requirements/build.txt pyproject.toml sandbox/pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) ..." >&2
	@$(PIP) --require-hashes --requirement requirements/pip.txt
	@$(PIP) --require-hashes --requirement requirements/runtime.txt --requirement requirements/build.txt
	@$(PIP) --no-deps --no-build-isolation --editable sandbox --editable .
	@touch $@

$(VENV)/dev $(VENV)/bench: $(VENV)/%: requirements/%.txt $(VENV)/runtime
	@$(PIP) --require-hashes --requirement requirements/$*.txt
	@touch $@

# What the tests run against the sandbox, what draws diagrams, what builds the client, and what is measured beside us:
# installed and run by the Node.js of a wheel.
$(SDKS)/$(NODE_MODULES) $(EXPRESS)/$(NODE_MODULES) $(DOCS)/$(NODE_MODULES) $(CLIENT)/$(NODE_MODULES): | $(VENV)/dev
$(FASTIFY)/$(NODE_MODULES): | $(VENV)/bench
%/$(NODE_MODULES): %/package-lock.json
	@$(BIN)/npm ci --ignore-scripts --loglevel error --prefix $* >/dev/null

# The container image, by the first builder that works. Its options: `make image ARGS="--build-arg PIP_INDEX_URL=..."`.
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
image:
	@for builder in docker podman buildah; do \
	    if $$builder info >/dev/null 2>&1; then break; else builder=; fi; \
	done; \
	test -n "$$builder" || { echo "make image needs docker, podman or buildah" >&2; exit 1; }; \
	test $$builder = docker || format="--format docker"; \
	set -x; $$builder build $$format --build-arg VERSION=$(VERSION) --tag wxlogin:$(VERSION) $(ARGS) .

# Builds the image, and uses it. Needs Docker; or root, Podman, runc and debootstrap, which makes the base.
test-image: $(VENV)/dev
	$(BIN)/pytest tests/image $(ARGS)

# The demo from the wheels, by the tools that users have. Needs the network.
test-dist: dist
	$(BIN)/uvx --find-links dist wxlogin demo --once --port 0
	$(BIN)/pipx run --pip-args="--find-links dist" wxlogin demo --once --port 0

# The wheels of both distributions, what they are locked to, in CycloneDX, and the client of mini-programs.
dist: $(VENV)/dev $(CLIENT)/$(NODE_MODULES)
	rm -rf dist
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist ./sandbox .
	$(BIN)/pip-audit --requirement requirements/runtime.txt --disable-pip --progress-spinner off --format cyclonedx-json --output dist/sbom.json
	PATH="$(abspath $(BIN)):$$PATH" npm pack ./$(CLIENT) --pack-destination dist

# Rewrites the hash-locked requirements from pyproject.toml and package.json.
LOCK = $(BIN)/uv pip compile --quiet --no-emit-package wechat-sandbox --universal --python-version 3.11 --generate-hashes --no-annotate --no-header $(UPGRADE)
LOCKED = --constraint requirements/pip.txt --constraint requirements/runtime.txt
lock: | $(VENV)/dev
	$(LOCK) --group pip --output-file requirements/pip.txt
	$(LOCK) pyproject.toml --constraint requirements/pip.txt --output-file requirements/runtime.txt
	$(LOCK) --group build $(LOCKED) --output-file requirements/build.txt
	$(LOCK) --group dev $(LOCKED) --constraint requirements/build.txt --output-file requirements/dev.txt
	$(LOCK) --group bench $(LOCKED) --constraint requirements/build.txt --output-file requirements/bench.txt
	$(BIN)/npm install --package-lock-only --prefix $(SDKS)
	$(BIN)/npm install --package-lock-only --prefix $(EXPRESS)
	$(BIN)/npm install --package-lock-only --prefix $(FASTIFY)
	$(BIN)/npm install --package-lock-only --prefix $(DOCS)
	$(BIN)/npm install --package-lock-only --prefix $(CLIENT)

clean:
	rm -rf $(VENV) build dist $(CLIENT)/miniprogram_dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	rm -rf $(addsuffix /node_modules,$(SDKS) $(EXPRESS) $(FASTIFY) $(DOCS) $(CLIENT))
