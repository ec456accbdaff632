# `make help` lists what can be done here. Needs make, git and Python 3.10 to 3.12.
SHELL := /bin/bash
VENV := .venv
INSTALLED := $(VENV)/.installed
RUN := PATH="$(CURDIR)/$(VENV)/bin:$$PATH"

# What `ir` and the stages after it run on; the others always run in $(VENV).
TOOLCHAIN := $(or $(TOOLCHAIN),$(shell sed -n 's/^toolchain: *\([a-z-]*\).*/\1/p' params.yaml),openvino)
$(if $(filter openvino openvino-dev,$(TOOLCHAIN)),,\
  $(error TOOLCHAIN is $(TOOLCHAIN), expected openvino or openvino-dev))
TOOLS := $(if $(filter openvino-dev,$(TOOLCHAIN)),$(VENV)-openvino-dev,$(VENV))
WITH_TOOLS := PATH="$(CURDIR)/$(TOOLS)/bin:$$PATH"

# PyTorch for this machine: cpu | cuda | auto, which takes CUDA's where there is an NVIDIA GPU.
TORCH ?= auto
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

.DEFAULT_GOAL := help
.PHONY: help repro crossval learning-curve next bundle audit locked merged review bench sweep vs-benchmark-app test test-all lint lock clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

# DVC writes these files in place: one that is killed meanwhile leaves a part, which every later run
# refuses. What the part of dvc.lock lacks comes from the run cache.
define mend
[ ! -e .dvc/tmp/rwlock ] || $(RUN) python -m json.tool .dvc/tmp/rwlock > /dev/null 2>&1 \
  || rm .dvc/tmp/rwlock; \
[ ! -e dvc.lock ] || [ -n "$$(git ls-files --unmerged dvc.lock)" ] || $(RUN) python -c \
  'import yaml, dvc.schema; dvc.schema.COMPILED_LOCKFILE_SCHEMA(yaml.safe_load(open("dvc.lock")))' \
  2> /dev/null || git checkout --quiet HEAD -- dvc.lock || true
endef

repro: $(INSTALLED) $(TOOLS)/.installed  ## run everything that changed, from the export to the report
	@mkdir -p .dvc/tmp && touch .dvc/tmp/repro
	@$(mend)
	@sed -i.old 's/^toolchain: *[a-z-]*/toolchain: $(TOOLCHAIN)/' params.yaml && rm params.yaml.old
	@[ $(TOOLS) = $(VENV) ] || { folds() { $(RUN) dvc stage list --name-only | grep "^fold_$$1@"; }; \
	  $(RUN) dvc repro audit $$(folds train) && $(WITH_TOOLS) dvc repro audit $$(folds evaluate) \
	  && $(RUN) dvc repro export; }
	@$(WITH_TOOLS) dvc repro
	@[ metrics/report.md -nt .dvc/tmp/repro ] || cat metrics/report.md

FOLDS ?= 5
crossval: $(INSTALLED)  ## judge by all images instead of the val list: train FOLDS models more
	@folds=$$(seq -s ', ' 0 $$(($(FOLDS) - 1))) && \
	  sed -i.old "s/^  folds: \[[^]]*\]/  folds: [$$folds]/" params.yaml && rm params.yaml.old
	@$(MAKE) --no-print-directory repro

learning-curve: $(INSTALLED)  ## forecast AP with twice the labelled images, by 20 trainings: learning_curve.md
	@$(RUN) dvc repro ingest
	@$(RUN) python -m tools.learning_curve learning_curve.md --folds $(FOLDS)

next: $(INSTALLED) $(TOOLS)/.installed  ## choose frames of the pool to label next, with boxes drawn, for CVAT: data/next
	@$(WITH_TOOLS) dvc repro evaluate
	@$(WITH_TOOLS) python -m tools.next_frames data/next

bundle: $(INSTALLED) $(TOOLS)/.installed  ## pack the models, each with all that a stranger needs: models/detector-*.zip
	@$(WITH_TOOLS) dvc repro bundle
	@ls models/detector-*.zip

audit: $(INSTALLED)  ## show the data on one page, data/audit.html, before anything is trained
	@$(RUN) dvc repro audit

bench: $(INSTALLED)  ## compare the import of 10,000 images with plain decoding; some minutes
	@$(RUN) python -m tools.ingest_speed

locked: $(INSTALLED)  ## tell whether dvc.lock is that of the code, parameters and metrics here
	@! grep -qE '^(<<<<<<<|>>>>>>>)' dvc.lock && [ -z "$$(git ls-files --unmerged dvc.lock metrics)" ] \
	  || { echo "two branches meet in dvc.lock or metrics/: merge params.yaml, then run make merged"; exit 1; }
	@planned=$$($(RUN) dvc repro --dry --allow-missing) || exit 1; \
	stale=$$(sed -n "s/^Running stage '\(.*\)':.*/\1/p" <<< "$$planned" | grep -vx host); \
	[ -z "$$stale" ] || { echo "dvc.lock is old, these stages would run:" $$stale; \
	  echo "run dvc repro and commit what it writes"; exit 1; }

merged: $(INSTALLED)  ## after git merge: run the merged parameters, write dvc.lock and metrics/ anew
	@! grep -E '^(<<<<<<<|>>>>>>>)' params.yaml || { echo "choose the parameters in params.yaml first"; exit 1; }
	@git checkout --quiet HEAD -- dvc.lock metrics
	@$(MAKE) --no-print-directory repro
	@git add params.yaml dvc.lock metrics

review: $(INSTALLED)  ## tell what changed since BASE=commit, with a verdict per figure: review.md
	@$(RUN) python -m tools.review "$(or $(BASE),origin/main)" review.md \
	    $(if $(MAX_DROP),--max-drop $(MAX_DROP))

MODELS ?= yolox-nano yolox-tiny
INPUTS ?= 192x320 256x448 320x544
ACTS ?= silu relu
TARGET_FPS ?= 50
SWEEP_SECONDS ?= 60
sweep: $(INSTALLED)  ## train MODELS at INPUTS with ACTS, and name the best one for TARGET_FPS: sweep.md
	@$(RUN) python -m tools.sweep sweep.md --models $(MODELS) --inputs $(INPUTS) --acts $(ACTS) \
	    --target-fps $(TARGET_FPS) --seconds $(SWEEP_SECONDS)

vs-benchmark-app: $(INSTALLED)  ## compare models/int8 on VIDEO=file with OpenVINO's own benchmark_app
	@[ -n "$(VIDEO)" ] || { echo "say which video: make vs-benchmark-app VIDEO=drive.mp4"; exit 1; }
	@$(RUN) python -m tools.vs_benchmark_app models/int8/yolox.xml "$(VIDEO)"

test: $(INSTALLED) lint  ## check style and run the tests, some minutes
	@$(RUN) python -m pytest -m "not slow"

test-all: test  ## the same, then the slow tests: documents, other toolchain, kills, fuzzing
	@$(RUN) python -m pytest -m slow

lint: $(INSTALLED)  ## check style only
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .

lock: $(INSTALLED)  ## compile requirements/*.in to locked, hashed files
	@cd requirements && compile="uv pip compile -q --universal --python-version 3.10 \
	    --generate-hashes --no-annotate --no-header"; \
	  for name in openvino openvino-dev dev; do $(RUN) $$compile $$name.in -o $$name.txt; done; \
	  $(RUN) $$compile --no-deps modelapi.in -o modelapi.txt

clean:  ## remove the environment; data, models and metrics stay
	rm -rf $(VENV)

# $(call install,FOLDER,LISTS): a virtual environment of locked lists.
define install
@command -v git > /dev/null || { echo "git is missing: install it"; exit 1; }
@for python in python3 python3.12 python3.11 python3.10; do \
  if $$python -c 'import sys, venv, ensurepip; exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' \
    2> /dev/null; then found=$$python; break; fi; done; \
if [ -z "$$found" ]; then \
  echo "Python 3.10, 3.11 or 3.12 with venv is missing: install one (Debian: python3-venv)"; \
  exit 1; fi; \
echo "Installing the locked requirements into $(1); the first time takes some minutes"; \
$$found requirements/install.py $(1) $(TORCH) $(TORCH_INDEX) $(2)
endef

$(INSTALLED): requirements/openvino.txt requirements/dev.txt requirements/modelapi.txt pyproject.toml
	$(call install,$(VENV),openvino dev modelapi)
	@$(VENV)/bin/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)-openvino-dev/.installed: requirements/openvino-dev.txt
	$(call install,$(VENV)-openvino-dev,openvino-dev)
	@touch $@
