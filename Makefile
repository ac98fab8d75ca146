# make demo, make test: each makes .venv by itself; Python 3.11 or newer and make are all that must be there.
PYTHON ?= python3
BIN := .venv/bin
.PHONY: help demo test export readme api docs notebooks clean
.DEFAULT_GOAL := help

help:  ## this list
	@grep -hE '^[a-z]+:.*## ' Makefile | sed -E 's/^([a-z]+):.*## /make \1\t/' | expand -t 18

# Made once, and again when the requirements change.
.venv/.ready: settings.ini setup.py constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and "IllumiNet needs Python 3.11 or newer and %s is %d.%d. Name another: make PYTHON=python3.12" % (sys.executable, v[0], v[1]))'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing into .venv (some minutes, several GB: torch)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: .venv/.ready  ## train on the embedded sample capture, print the table of methods, write demo/
	$(BIN)/illuminet demo

test: .venv/.ready  ## every check there is
	$(BIN)/python .ci/checks.py

export: .venv/.ready  ## notebooks -> illuminet/*.py; strip notebook metadata
	$(BIN)/nbdev_export
	$(BIN)/nbdev_clean

readme: .venv/.ready  ## nbs/index.ipynb -> README.md
	$(BIN)/python .ci/readme.py

api: .venv/.ready  ## freeze the list of public names in tests/public_names.txt
	$(BIN)/python tests/test_public_names.py

notebooks: .venv/.ready  ## run all notebooks in place, refresh their outputs; NB='nbs/01_lights.ipynb ...' for some
	$(BIN)/python .ci/notebooks.py $(NB)
	$(MAKE) export

docs: .venv/.ready  ## the site, in _docs/ (needs Quarto 1.7.34)
	@command -v quarto >/dev/null || { echo 'The site needs Quarto 1.7.34: https://github.com/quarto-dev/quarto-cli/releases/tag/v1.7.34'; exit 1; }
	touch README.md  # nbdev_docs writes it anew when it looks older than its notebook
	PATH="$(CURDIR)/$(BIN):$$PATH" nbdev_docs

clean:  ## remove all that the other targets made
	rm -rf .venv .newest .pytest_cache _proc _docs demo build dist *.egg-info
	find illuminet nbs tests benchmarks .ci -name __pycache__ -prune -exec rm -rf {} +
