# make demo | run | test | soak | lint | messages | clean | help
PYTHON ?= python3
PORT ?= 8000
WORKERS ?= 2
BIN := .venv/bin

# pip installs what it brings uncompiled, and Python compiles what is used, once: where it may not keep what it
# compiled, every process would do all of it again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: demo run test soak lint messages clean help

demo: ## one turn of the whole loop on a real model, then the site (DEMO_SERVE=0 ends after the table)
	@$(PYTHON) tools/bootstrap.py
	@$(BIN)/python manage.py demo

run: ## the site without the demo, on http://127.0.0.1:8000/ (PORT=8001 for another)
	@$(PYTHON) tools/bootstrap.py
	@$(BIN)/python manage.py up --port $(PORT)

test: lint ## everything: lint, types, import contracts, tests against real PostgreSQL, Redis and Chromium
	@$(BIN)/python tests/browser_setup.py --install
	@$(BIN)/pytest -n $(WORKERS) --dist worksteal --durations=10
	@$(BIN)/python tests/browser_setup.py --report

soak: ## an hour on a quiet machine: histories of the queue, load up to a million tasks, then with workers killed; results in var/soak
	@$(PYTHON) tools/bootstrap.py --test
	@QUEUE_EXAMPLES=500 $(BIN)/pytest -q --timeout 0 annotation/tests/test_queue_machine.py
	@for tasks in 10000 100000 1000000; do $(BIN)/python benchmarks/labelling.py --tasks $$tasks --seconds 60 \
		--chaos-seconds 300 --results var/soak/api-$$tasks.json || exit 1; done
	@$(BIN)/python benchmarks/labelling.py --pages --seconds 60 --chaos-seconds 300 --results var/soak/pages.json

lint: ## ruff, mypy, import-linter
	@$(PYTHON) tools/bootstrap.py --test
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy --num-workers $(WORKERS) .
	@$(BIN)/lint-imports

messages: ## gather the texts of pages and code into locale/ (needs GNU gettext) and compile the translations
	@$(PYTHON) tools/bootstrap.py --test
	@$(BIN)/python tools/messages.py

clean: ## remove what the other targets made: .venv, var, caches, the embedded services' data
	@$(PYTHON) tools/clean.py

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1	/p' $(MAKEFILE_LIST)
