# Two commands do all the set-up: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
MARK ?= not slow

.PHONY: install demo test check pytest slow long docs bench gpu-table clean

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	@# pip compiles on one core; where no bytecode may be written, each process would else compile torch anew
	$(BIN)/pip install --disable-pip-version-check --no-compile -q -c constraints.txt -e '.[dev]'
	@# without what nobody imports, a quarter of it; some files are of newer versions of Python
	@$(BIN)/python -m compileall -qq -j 0 -x '/tests?/|transformers/models/' .venv/lib || true
	@touch $@

demo: install ## train, evaluate, export, serve and predict on the Digits that come inside scikit-learn
	$(BIN)/python examples/demo.py demo

test: install ## formatter, linter, types and tests, side by side
	@$(MAKE) --no-print-directory -j2 check pytest

check: install ## formatter, linter, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

pytest: install ## a worker a core; who is done early takes of the other's
	$(BIN)/pytest -n logical --dist worksteal -m "$(MARK)"

slow: install ## what takes longer: the commands of the docs, processes that die
	$(BIN)/pytest -n logical --dist loadscope -m "slow and not long"

long: install ## minutes more: strangers' model files are also attacked and exported, CONTRIBUTING and the notebook run
	$(BIN)/pytest -n logical --dist worksteal -m long

docs: install ## the site, into docs/_build/html; a warning is an error
	$(BIN)/sphinx-build -q -W --keep-going -b html -d docs/_build/doctrees docs docs/_build/html
	@echo "open docs/_build/html/index.html"

bench: install ## what training costs, against peers and floors: one table
	$(BIN)/python bench/training/all.py

gpu-table: install ## the GPU tables of docs/benchmarks.md, from bench/gpu/results
	$(BIN)/python bench/gpu/table.py

clean:
	rm -rf .venv demo build dist docs/_build docs/reference/_generated .mypy_cache .ruff_cache .pytest_cache
