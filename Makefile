## make demo   set up .venv and run the main job
## make quick   the quick tests, for while one works; of tests over all shipped specs a few
## make test   set up .venv and pass every check
## make thorough   the tests that take minutes
## make test-triton   the printed kernels in the interpreter of the oldest and of the newest Triton; TRITONS names others
## make check-pins   resolve constraints.txt from the public index alone, for every Python and machine that README names
## make pins   write constraints.txt anew, where pyproject.toml asks for more than it holds
## make test-gpu   on a machine with an NVIDIA GPU: every generated kernel against its float64 form; PYTHON_GPU names a Python with torch and Triton
## make test-transformers   generation of the models on several versions of transformers, each in an environment of its own under build/
## make docs     a static site under build/site/html: one page a spec, the design space with filters, the guides
## make layers   draw docs/layers.svg anew from the import contract
## PYTHON=...  the Python to build .venv with, where the first one found is not wanted

SHELL := /bin/sh
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test quick thorough test-triton test-gpu check-pins pins lint types imports static unit update docs layers clean test-transformers

BIN := .venv/bin
STAMP := .venv/.installed
RESOLVED := .venv/.resolved
IS_NEW_ENOUGH := import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))

help:
	@sed -n 's/^## //p' Makefile

demo: $(STAMP)
	$(BIN)/python -m miras_compiler.demo

test: lint static unit

# The types are checked while the index is asked for the pins.
static: $(STAMP)
	@$(MAKE) --no-print-directory types >.venv/types.log 2>&1 & types=$$!; \
	$(MAKE) --no-print-directory imports $(RESOLVED); others=$$?; \
	wait $$types; types=$$?; cat .venv/types.log; [ $$types -eq 0 ] && [ $$others -eq 0 ]

# Triton below 3.7 interprets loops over runtime numbers with NumPy below 2.4 only. Both lie before the packages of .venv on the path.
TRITONS ?= 3.6.0 3.9.0
TRITON_TESTS ?= tests/runtime/test_triton_interpreter.py
test-triton: $(STAMP)
	@for version in $(TRITONS); do \
	    folder=.venv/triton-$$version; \
	    case $$version in 3.[0-6]*) numpy='numpy<2.4';; *) numpy=;; esac; \
	    if [ ! -e $$folder/.installed ]; then \
	        $(BIN)/python -m pip install --quiet --no-deps --upgrade --target $$folder triton==$$version $$numpy && touch $$folder/.installed || exit 1; \
	    fi; \
	    echo "Triton $$version"; \
	    PYTHONPATH=$$folder $(BIN)/pytest -n auto --thorough $(TRITON_TESTS) $(PYTEST_ARGS) || failed="$$failed $$version"; \
	done; \
	if [ -n "$$failed" ]; then echo "kernels fail in the interpreter of Triton$$failed" >&2; exit 1; fi

PYTHON_GPU ?= python3
GPU_PACKAGES ?= generated/linear_attention generated/gated_delta_net generated/titans_lmm generated/yaad
test-gpu:
	PYTHONPATH=. $(PYTHON_GPU) benchmarks/gpu.py check $(GPU_PACKAGES) --results benchmarks/results/gpu_check.json

TRANSFORMERS ?= 5.6.2 5.12.0 5.17.0 5.20.0 5.24.0
test-transformers: $(STAMP)
	$(BIN)/python tests/campaigns/on_transformers.py $(TRANSFORMERS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

# As a part of `make test`, asks the index only where the pins have changed, as the installation does.
check-pins $(RESOLVED): $(STAMP) tests/campaigns/check_pins.py
	$(BIN)/python tests/campaigns/check_pins.py
	@touch $(RESOLVED)

PINNED := \# The exact versions that the tests run with, on every machine that README names: pip install -c constraints.txt -e '.[test]'
pins: $(STAMP)
	$(BIN)/python -m uv pip compile --quiet --no-config --default-index https://pypi.org/simple --universal --python-version 3.11 \
	    --no-annotate --no-header --extra test pyproject.toml --output-file constraints.txt
	@{ echo "$(PINNED)"; grep -v "sys_platform == '\(win32\|emscripten\)'" constraints.txt; } > constraints.new && mv constraints.new constraints.txt

imports: $(STAMP)
	$(BIN)/lint-imports

quick: $(STAMP)
	$(BIN)/pytest -n auto --dist worksteal -m "not slow" $(PYTEST_ARGS)

thorough: $(STAMP)
	$(BIN)/pytest -n auto --thorough -m thorough $(PYTEST_ARGS)

# A worker takes neighbouring tests, which share packages and fixtures, and the last ones from the other.
unit: $(STAMP)
	$(BIN)/pytest -n auto --dist worksteal $(PYTEST_ARGS)

update: $(STAMP)
	$(BIN)/pytest -n 0 -q tests/emit/test_generated.py tests/spec/test_design_space.py tests/spec/test_reference.py tests/project/test_zoo_table.py --update-generated

docs: $(STAMP)
	@$(BIN)/python -c 'import material' 2>/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	$(BIN)/python docs/site/build.py

layers: $(STAMP)
	$(BIN)/python docs/draw_layers.py

clean:
	rm -rf .venv

# The stamp is the last thing written: where it is missing, a .venv that is there was interrupted half way and is made anew.
$(STAMP): pyproject.toml constraints.txt miras_compiler/version.py
	@if [ -e $(STAMP) ]; then rm $(STAMP); else \
	    for python in $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11 python); do \
	        if $$python -c '$(IS_NEW_ENOUGH)' >/dev/null 2>&1; then found=$$python; break; fi; \
	    done; \
	    if [ -z "$$found" ]; then echo "make: no Python 3.11 or newer with venv and pip was found; name one: make PYTHON=/path/to/python3 (on Debian, python3-venv is a package of its own)" >&2; exit 1; fi; \
	    echo "setting up .venv with $$($$found --version)"; \
	    $$found -m venv --clear .venv; \
	fi
	@echo "installing the exact versions of constraints.txt into .venv; this takes minutes the first time"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e '.[test]'
	@$(BIN)/python -m compileall -q -j 0 .venv/lib >/dev/null 2>&1 || true  # on all cores; templates of code in packages are no code
	@touch $(STAMP)
