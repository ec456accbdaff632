# `make help` lists what can be done here. Needs make, git and Python 3.10 to 3.12.
SHELL := /bin/bash
VENV := .venv
INSTALLED := $(VENV)/.installed
RUN := PATH="$(CURDIR)/$(VENV)/bin:$$PATH"

.DEFAULT_GOAL := help
.PHONY: help repro look locked review bench ruler test test-quick lint lock clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

repro: $(INSTALLED)  ## run everything that changed, from the export to the report
	@mkdir -p .dvc/tmp && touch .dvc/tmp/repro
	@$(RUN) dvc repro
	@[ metrics/report.md -nt .dvc/tmp/repro ] || cat metrics/report.md

look: $(INSTALLED)  ## show the data on one page, data/look.html, before anything is trained
	@$(RUN) dvc repro look

bench: $(INSTALLED)  ## compare the import of 10,000 pictures with plain decoding; some minutes
	@$(RUN) python -m benchmarks.ingest

locked: $(INSTALLED)  ## tell whether dvc.lock is that of the code, parameters and metrics here
	@planned=$$($(RUN) dvc repro --dry --allow-missing) || exit 1; \
	stale=$$(sed -n "s/^Running stage '\(.*\)':.*/\1/p" <<< "$$planned" | grep -vx machine); \
	[ -z "$$stale" ] || { echo "dvc.lock is old, these stages would run:" $$stale; \
	  echo "run dvc repro and commit what it writes"; exit 1; }

review: $(INSTALLED)  ## tell what changed since BASE=commit, with a verdict per figure: review.md
	@$(RUN) python -m review.pull_request "$(or $(BASE),origin/main)" review.md

ruler: $(INSTALLED)  ## compare models/int8 on VIDEO=file with OpenVINO's own benchmark_app
	@[ -n "$(VIDEO)" ] || { echo "say which video: make ruler VIDEO=drive.mp4"; exit 1; }
	@$(RUN) python -m benchmarks.ruler models/int8/yolox.xml "$(VIDEO)"

test: $(INSTALLED) lint  ## check style and run all tests
	@$(RUN) python -m pytest

test-quick: $(INSTALLED) lint  ## check style and run the tests that take seconds
	@$(RUN) python -m pytest -m "not slow"

lint: $(INSTALLED)  ## check style only
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .

lock: $(INSTALLED)  ## compile requirements/*.in to locked, hashed files
	@cd requirements && compile="uv pip compile -q --universal --python-version 3.10 \
	    --generate-hashes --no-annotate --no-header"; \
	  for name in openvino dev; do $(RUN) $$compile $$name.in -o $$name.txt; done; \
	  $(RUN) $$compile --no-deps modelapi.in -o modelapi.txt

clean:  ## remove the environment; data, models and metrics stay
	rm -rf $(VENV)

$(INSTALLED): requirements/openvino.txt requirements/dev.txt requirements/modelapi.txt pyproject.toml
	@command -v git > /dev/null || { echo "git is missing: install it"; exit 1; }
	@for python in python3 python3.12 python3.11 python3.10; do \
	  if $$python -c 'import sys, venv, ensurepip; exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' \
	    2> /dev/null; then found=$$python; break; fi; done; \
	if [ -z "$$found" ]; then \
	  echo "Python 3.10, 3.11 or 3.12 with venv is missing: install one (Debian: python3-venv)"; \
	  exit 1; fi; \
	echo "Installing the locked requirements into $(VENV); the first time takes some minutes"; \
	[ -x $(VENV)/bin/python ] || $$found -m venv $(VENV); \
	install="$(VENV)/bin/python -m pip install -q --disable-pip-version-check --require-hashes"; \
	$$install -r requirements/openvino.txt -r requirements/dev.txt && \
	$$install --no-deps -r requirements/modelapi.txt && \
	$(VENV)/bin/python -m pip install -q --disable-pip-version-check --no-deps \
	    --no-build-isolation -e .
	@touch $@
