# Everything happens in .venv, which the first target that needs it makes. `make help` lists the targets.
#
#   PYTHON=/path/to/python3.12 make demo     another Python (3.11 or newer)
#   DEMO='--out /tmp/demo' make demo      options for flam-cli demo

PYTHON ?= python3
BIN := .venv/bin
SOURCES := pyproject.toml constraints.txt $(wildcard build_backend/*.py) \
	third_party/soxbindings/pyproject.toml $(wildcard third_party/soxbindings/soxbindings/*.py)

.DEFAULT_GOAL := help
.PHONY: help setup demo test check fmt dist clean

help:  ## list the targets
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 16

setup: .venv/.installed-dev  ## make .venv with flam-cli and the tools of development

demo: .venv/.installed  ## make .venv with flam-cli and run its demo
	$(BIN)/flam-cli demo $(DEMO)

test: .venv/.installed-dev  ## make .venv and run every check: what CI runs
	$(MAKE) check

check:  ## every check, in the .venv that is there
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest

fmt:  ## format the code and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

dist: .venv/.installed-dev  ## build dist/: flam-cli's wheel and sdist, and the wheel of its soxbindings
	$(BIN)/python -m build --outdir dist .
	$(BIN)/python -m build --wheel --outdir dist third_party/soxbindings

clean:  ## remove .venv and the caches
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache dist

# What is missing is said in one line, where pip would fail after minutes with a page.
.venv/bin/python:
	@python=; for name in $(PYTHON) python3.13 python3.12 python3.11; do \
		if $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$name; break; fi; \
	done; \
	fail() { echo "make: $$1" >&2; exit 1; }; \
	[ -n "$$python" ] || fail "flam-cli needs Python 3.11 or newer: apt install python3 python3-venv python3-dev, brew install python, or https://www.python.org/downloads; then, if need be, make PYTHON=/path/to/python3"; \
	$$python -c 'import ensurepip, venv' 2>/dev/null || fail "$$python lacks the venv module: apt install python3-venv (Debian, Ubuntu; python3.12-venv for a python3.12)"; \
	command -v cc >/dev/null || command -v gcc >/dev/null || command -v clang >/dev/null || fail "no C compiler (sed_scores_eval is compiled on installation): apt install gcc, dnf install gcc, or xcode-select --install"; \
	$$python -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' || fail "$$python lacks its C headers (sed_scores_eval is compiled on installation): apt install python3-dev, or dnf install python3-devel"; \
	rm -rf .venv; $$python -m venv .venv || { rm -rf .venv; exit 1; }

.venv/.installed: .venv/bin/python $(SOURCES)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --constraint constraints.txt --editable .
	@touch $@

.venv/.installed-dev: .venv/bin/python $(SOURCES)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --constraint constraints.txt --editable '.[dev,onnx,pretrained,tensorboard,yamnet]'
	@touch .venv/.installed $@
