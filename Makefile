# SPDX-License-Identifier: GPL-3.0-or-later
# The front door. A bare `make` lists the targets. Python 3.11, git, make and root are all they need beforehand.
#   PYTHON=/path/to/python3   another interpreter (default: python3)      BUNDLE=1   with PyPI's `ansible` bundle

SHELL := /bin/sh
.SHELLFLAGS := -euc
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

export PYTHON
export UV_PYTHON_DOWNLOADS := never
# The tools of this environment first, and nobody else's Python path or Ansible settings.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV ANSIBLE_CONFIG ANSIBLE_COLLECTIONS_PATH ANSIBLE_INVENTORY

LAB := $(or $(PYTHON),python3) tests/lab
# Debian packages of the tools that unit tests ask: whether our orders are theirs, and what they say of real packages.
JUDGES := rpm dnf dnf-plugins-core createrepo-c linux-base grub-pc-bin qemu-system-x86
# What `make test` runs, in this order. A word with a colon is `make target SCENARIO=name`.
STAGES ?= setup unit lint build sanity docs molecule:incident

.PHONY: help
help:
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' $(firstword $(MAKEFILE_LIST)) | while IFS='|' read -r name text; do printf '%-10s %s\n' "$$name" "$$text"; done

.PHONY: setup
setup:  ## install the locked tools into .venv and link the collection in (every target does this first)
	@sh tests/tools/setup.sh

.PHONY: demo
demo: setup  ## the story on a real machine: a panic that hangs, assess, remediate, the same panic that dumps
	@.venv/bin/python tests/demo

.PHONY: test
test:  ## all that CI runs, stage by stage, each with its seconds
	@$(or $(PYTHON),python3) tests/tools/stages.py $(STAGES)

.PHONY: unit
unit: setup  ## pure logic on captured fixtures, architecture rules (pytest; ARGS=… is passed on)
	@sh tests/tools/need.sh $(JUDGES)
	@.venv/bin/python -m pytest -n auto -q $(ARGS)

.PHONY: lint
lint: setup  ## ansible-lint (production), ruff, mypy strict, yamllint; all offline
	@sh tests/tools/lint.sh

.PHONY: fix
fix: setup  ## let ruff mend what it can: import order, format
	@.venv/bin/ruff check --fix --quiet . || true
	@.venv/bin/ruff format --quiet .

.PHONY: sanity
sanity: setup  ## ansible-test sanity on a copy, without an ignore file (ARGS="--test pep8" is passed on)
	@sh tests/sanity/run.sh $(ARGS)

.PHONY: docs
docs: setup  ## check the documentation of modules, plugins and roles
	@.venv/bin/antsibull-docs lint-collection-docs --plugin-docs --validate-collection-refs=dependent .

.PHONY: build
build: setup  ## the tarball in dist/, then installed into an empty path and run from there
	@.venv/bin/ansible-galaxy collection build --force --output-path dist/
	@.venv/bin/python -m pytest -q tests/tarball

.PHONY: molecule
molecule: setup  ## one scenario on real machines: make molecule SCENARIO=incident
	@test -n "$(SCENARIO)" || { echo "say which: make molecule SCENARIO=$$(ls molecule/*/molecule.yml 2>/dev/null | sed 's,molecule/\(.*\)/molecule.yml,\1,' | paste -sd'|')" >&2; exit 2; }
	@MOLECULE_COMMAND_BORDERS=false .venv/bin/molecule test -s $(SCENARIO)

.PHONY: proof
proof: setup  ## every scenario, the matrix and the kill tests, or one of them: make proof [SCENARIO=…]; resumes
	@.venv/bin/python tests/proof $(SCENARIO)

.PHONY: lab-up
lab-up: setup  ## boot lab machines (ARGS=… is passed on)
	@$(LAB) up $(ARGS)

.PHONY: lab-ssh
lab-ssh:  ## a shell on a lab machine (n1, or ARGS=node)
	@$(LAB) ssh $(or $(ARGS),n1)

.PHONY: lab-down
lab-down:  ## stop the lab machines (of the lab `default`, or ARGS="--lab name")
	@$(LAB) down $(ARGS)

.PHONY: bench
bench: setup  ## paired measurements (about an hour; see benchmarks/rollout/README.md)
	@.venv/bin/python benchmarks/rollout $(ARGS)

.PHONY: clean
clean:  ## stop all labs of this checkout, remove .venv, .cache, dist and what test runs left in the checkout
	@test ! -d .lab || $(LAB) down --all
	@rm -rf .venv .cache .lab dist fleetops-report .mypy_cache .pytest_cache .ruff_cache .hypothesis .ansible tests/output
	@find . -name __pycache__ -prune -exec rm -rf {} +
