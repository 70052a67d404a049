PYTHON ?= python

.DEFAULT_GOAL := help
.PHONY: help check docs docs-check format lint types test

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

check: lint types test  ## Everything a change must pass: format, lint, types, tests

docs:  ## Build the site of the documentation into site/ (pip install -e ".[docs]")
	NO_MKDOCS_2_WARNING=1 $(PYTHON) -m mkdocs build --strict --quiet

docs-check:  ## Run the long blocks of the pages and make their pictures anew, elsewhere (an hour)
	$(PYTHON) -m pytest -p no:cacheprovider --timeout 3600 --durations 0 tests/docs/long_blocks.py

format:  ## Rewrite the code in the project's format and fix what can be fixed
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

lint:  ## Check format and lint
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .

types:  ## Check types
	$(PYTHON) -m mypy

test:  ## Run the tests
	$(PYTHON) -m pytest
