# Two commands: `make run` and `make test`. Everything else is listed by `make help`.

PYTHON ?= python3
PY     := .venv/bin/python


.DEFAULT_GOAL := help
.PHONY: help run demo test bench bench-large lock clean python run-environment test-environment bench-environment

help: ## Show what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

run: run-environment ## Install what is needed and serve web, worker and beat on http://127.0.0.1:8000 (PORT=...)
	@exec $(PY) manage.py up

demo: run-environment ## The same on a database of its own, filled with 90 days of plausible data
	@DEMO=1 exec $(PY) manage.py up

test: test-environment ## Lint, types, contracts and all tests on SQLite and PostgreSQL (SLOW=1 adds the long proofs)
	@exec $(PY) tests/run.py

bench: bench-environment ## Measure, side by side, on both databases; writes docs/benchmarks.md
	@exec $(PY) -m benchmarks

bench-large: bench-environment ## The same with the large data sets
	@exec $(PY) -m benchmarks --large

lock: test-environment ## Compile requirements*.in into the locked requirements*.txt
	.venv/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url requirements.in -o requirements.txt
	.venv/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url requirements-dev.in -o requirements-dev.txt
	.venv/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url requirements-bench.in -o requirements-bench.txt
	.venv/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url requirements-clients.in -o requirements-clients.txt
	.venv/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url requirements-tokenizers.in -o requirements-tokenizers.txt

clean: ## Remove the environment and all caches; var/ with its databases stays
	rm -rf .venv staticfiles .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage htmlcov
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

python:
	@command -v $(PYTHON) >/dev/null || { echo "Agent Factory needs Python 3.11 or newer, and there is no $(PYTHON): install it, or name one with make PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 6))' || { echo "Agent Factory needs Python 3.11 or newer, and $(PYTHON) is older: name a newer one with make PYTHON=python3.12 ..." >&2; exit 1; }

run-environment: python
	@$(PYTHON) tools/environment.py run

test-environment: python
	@$(PYTHON) tools/environment.py test

bench-environment: python
	@$(PYTHON) tools/environment.py bench
