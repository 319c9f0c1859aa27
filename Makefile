PYTHON ?= python3.11
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.requirements

.PHONY: run test coverage check lint types contracts bench wheel lock clean

run: $(STAMP)
	@exec $(BIN)/python -I -m cli.signatory dev $(ARGS)

test: $(STAMP)
	$(BIN)/python -m pytest -n auto $(ARGS)

coverage: $(STAMP)
	$(BIN)/python -m pytest -n auto --cov --cov-report=term-missing:skip-covered $(ARGS)

check: lint types contracts

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

contracts: $(STAMP)
	$(BIN)/lint-imports --no-cache

bench: $(STAMP)
	$(BIN)/signatory-cli bench $(ARGS)

$(STAMP): requirements/run.txt requirements/dev.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --only-binary :all: -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

wheel: $(STAMP)
	$(BIN)/python -m hatchling build -t wheel

# The lock: hashes of every file, no index lines. Needs `uv` on the PATH.
lock:
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-build --no-emit-index-url --no-header --no-annotate requirements/run.in -o requirements/run.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-build --no-emit-index-url --no-header --no-annotate -c requirements/run.txt requirements/dev.in -o requirements/dev.txt

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
