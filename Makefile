# Every target sets up what it needs: a virtual environment in .venv with the tested versions.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow lint format bench sweep notebooks weights card clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(STAMP)  ## create .venv and install the package with the tested versions

$(STAMP): setup.cfg constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or later is needed: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "the venv module is missing: sudo apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[test,lint]'
	@touch $@

demo: $(STAMP)  ## train on the embedded photographs, measure, restore: everything in runs/demo
	rm -rf runs/demo
	$(BIN)/aio fit --config conf/fit/demo.yaml
	$(BIN)/aio evaluate --checkpoint runs/demo/best.ckpt --benchmark demo --save_dir runs/demo/restored
	@echo; echo "Look at runs/demo/gallery.png. Your own photographs:"
	@echo "  $(BIN)/aio restore PHOTO ... -o OUT --checkpoint runs/demo/best.ckpt"
	@echo "Without --checkpoint, by the network that comes with the package."

test: $(STAMP)  ## run the tests
	$(BIN)/python -m pytest -n 2 --dist worksteal -q

test-slow: $(STAMP)  ## run the tests that take minutes
	$(BIN)/python -m pytest -q -m slow

lint: $(STAMP)  ## check style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(STAMP)  ## format the code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(STAMP)  ## measure speed and write bench/RESULTS.md
	$(BIN)/python bench/all.py

sweep: $(STAMP)  ## what each part of the net brings: an ablation on the embedded photographs, in runs/
	$(BIN)/aio sweep conf/sweep/components.yaml --local

notebooks: $(STAMP)  ## run the notebooks from top to bottom
	$(BIN)/python -m pytest -q -m slow tests/test_notebooks.py

weights: $(STAMP)  ## put the weights of CHECKPOINT=... into the package as its default network
	$(BIN)/python bench/ship.py $(CHECKPOINT)

card: $(STAMP)  ## measure the default network on the data in ROOT=... for its model card
	$(BIN)/python bench/card.py --data_file_dir $(ROOT)

clean:  ## remove what the targets made
	rm -rf $(VENV) runs build dist src/*.egg-info
