# `make demo` and `make test` do all set-up; both can be interrupted and run again.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: help setup demo corpus test scenario lint docs linkcheck ui mlflow lock clean

help:
	@echo "make demo   set up, then materialise every asset on the demo corpus"
	@echo "make corpus MIDI='FOLDER ...' SOUNDFONTS='A.sf2 B.sf2' [OUT=shared-works]  works in"
	@echo "            several performances, rendered for learned similarity (11 min for 700)"
	@echo "make test   set up, then run the tests"
	@echo "make scenario  the pipeline among real processes that are killed (5 min)"
	@echo "make lint   ruff and mypy"
	@echo "make docs   the documentation, notebooks included, in docs/_build/html"
	@echo "make ui     Dagster UI on http://127.0.0.1:3000"
	@echo "make mlflow MLflow UI on http://127.0.0.1:5000"
	@echo "make lock   renew constraints.txt (needs uv)"
	@echo "make clean  remove the environment and everything generated (not listeners' responses)"

setup: $(VENV)/.ready

# The stamp is written last: an interrupted install is taken up again.
$(VENV)/.ready: pyproject.toml constraints.txt mess-dagster.pth
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "MESS needs Python >= 3.11; set PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[dev,docs]'
	touch $@

demo: setup
	$(BIN)/mess demo

OUT ?= shared-works
corpus: setup
	$(BIN)/mess corpus $(MIDI) $(OUT) $(addprefix --soundfont ,$(SOUNDFONTS))

# A file's tests share what they set up, so a file stays on one worker; one thread each.
test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --dist worksteal

# Daemon, code server and workers; a minute or two of waiting is part of it.
scenario: setup
	$(BIN)/python -m pytest -q -m scenario tests/scenario

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Notebooks are executed on a demo library of their own, built once.
DOCS_DATA := build/docs-data
$(DOCS_DATA)/.ready: | setup
	MESS_DATA_ROOT=$(DOCS_DATA) DAGSTER_HOME=$(CURDIR)/build/docs-dagster MLFLOW_TRACKING_URI=off \
	  $(BIN)/mess demo --no-report
	touch $@

docs: setup $(DOCS_DATA)/.ready
	rm -rf docs/reference/generated docs/notebooks
	MESS_DATA_ROOT=$(CURDIR)/$(DOCS_DATA) MLFLOW_TRACKING_URI=off \
	  $(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

linkcheck: setup $(DOCS_DATA)/.ready
	MESS_DATA_ROOT=$(CURDIR)/$(DOCS_DATA) MLFLOW_TRACKING_URI=off \
	  $(BIN)/python -m sphinx -q -b linkcheck docs docs/_build/linkcheck

ui: setup
	$(BIN)/dagster dev -h 127.0.0.1 -p 3000

mlflow: setup
	$(BIN)/mlflow ui --host 127.0.0.1 --port 5000 --backend-store-uri sqlite:///$(CURDIR)/data/mlflow.db

lock:
	uv pip compile --universal --python-version 3.11 --extra dev --extra docs --extra k8s --extra ray --no-header --no-annotate \
	  -o constraints.txt pyproject.toml

clean:
	rm -rf $(VENV) build docs/_build docs/notebooks docs/reference/generated .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find data -mindepth 1 ! -name README.md ! -path data/evaluation ! -path 'data/evaluation/judgements*' -delete
	find .dagster -mindepth 1 ! -name dagster.yaml -delete
