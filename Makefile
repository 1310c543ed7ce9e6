# `make help` lists the targets. Every target but `help` and `clean` makes .venv first, and again when the build changed.

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(firstword $(foreach name,python3 python3.14 python3.13 python3.12 python3.11,$(if $(shell \
	$(name) -c 'import sys; print("ok" if sys.version_info >= (3, 11) else "")' 2>/dev/null),$(name))))
BUILD := pyproject.toml setup.py $(wildcard hftcore/*.pyx hftcore/*.pxd hftcore/*.cpp hftcore/include/hftcore/*.hpp)
STAMP := $(VENV)/made
ARGS ?=

.PHONY: help setup demo test bench bench-peers lint check clean sanitize command-proof shm-proof fuzz instructions wheels asan damage mutants
.DEFAULT_GOAL := help

help:  ## what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile
	@echo "  PYTHON=python3.12 chooses the interpreter, ARGS='-k ring' is handed to pytest, hftpy demo or the benchmarks."

setup: $(STAMP)  ## .venv with the compiled core and everything that tests need

$(STAMP): $(BUILD)
	@if [ -z "$(PYTHON)" ] || ! $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
		echo "hftpy needs Python >= 3.11, found '$(or $(PYTHON),none)' ($$($(or $(PYTHON),python3) --version 2>&1)): make PYTHON=/path/to/python3.11" >&2; exit 1; fi
	@command -v $${CXX:-g++} >/dev/null || { echo "hftpy needs a C++17 compiler (g++, or CXX=...)" >&2; exit 1; }
	[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(STAMP)  ## the whole system on this machine: venue, gateway, two strategies
	$(BIN)/hftpy demo $(ARGS)

# More processes than small machines have CPUs: most tests wait most of the time, for sockets and for other processes.
test: $(STAMP)  ## all tests, in four processes; ARGS='-n 0' for one
	$(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder $(ARGS)

bench: $(STAMP)  ## all benchmarks, peers and ours side by side
	$(BIN)/python -m pytest benchmarks -q $(ARGS)

bench-peers: $(STAMP)  ## install the heavier peers of the benchmarks
	$(BIN)/python -m pip install --disable-pip-version-check --requirement benchmarks/requirements.txt
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps --requirement benchmarks/requirements-no-deps.txt

lint: $(STAMP)  ## ruff, mypy --strict, stubtest, and no Cython performance hint
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest hftcore --mypy-config-file pyproject.toml \
		--allowlist tests/stubtest_allowlist.txt --ignore-unused-allowlist
	$(BIN)/python tests/cython_hints.py

check: lint test  ## lint and test

sanitize: $(STAMP)  ## the native stress programs for longer, under ThreadSanitizer and AddressSanitizer
	HFTPY_MUTANTS=all HFTPY_STRESS_ITEMS=$${HFTPY_STRESS_ITEMS:-20000000} HFTPY_SHM_READS=$${HFTPY_SHM_READS:-200000000} \
		$(BIN)/python -m pytest -m native tests/native --timeout 3600 $(ARGS)

mutants: $(STAMP)  ## every seeded mistake in native code and in commands must be found (make test tries a third)
	HFTPY_MUTANTS=all $(BIN)/python -m pytest -n 2 --dist worksteal tests/native tests/fuzz tests/ipc/test_command_chaos.py \
		-k 'mistake or is_found or finds_faults' --timeout 600 $(ARGS)

command-proof: $(STAMP)  ## 2,000 commands a second between processes that are killed, stopped and sent duplicates (SECONDS=60), and faults
	$(BIN)/python tests/ipc/command_chaos.py $(or $(SECONDS),60) $(or $(SEED),1)
	HFTPY_MUTANTS=all $(BIN)/python -m pytest tests/ipc/test_command_chaos.py -k finds_faults -rP --timeout 600

shm-proof: $(STAMP)  ## a thousand million reads of shared memory under a writer that laps, and a thousand random kills
	HFTPY_SHM_READS=1000000000 HFTPY_SHM_KILLS=1000 $(BIN)/python -m pytest tests/native/test_shm_stress.py tests/ipc/test_shm_kill.py \
		-k 'many_reads or random_kills' -s --timeout 3600 $(ARGS)

fuzz: $(STAMP)  ## a million broken inputs for every parser and decoder; HFTPY_FUZZ_INPUTS and HFTPY_FUZZ_SEED for other ones
	HFTPY_MUTANTS=all HFTPY_FUZZ_INPUTS=$${HFTPY_FUZZ_INPUTS:-1000000} $(BIN)/python -m pytest tests/fuzz -rP --timeout 0 $(ARGS)

instructions: $(STAMP)  ## instructions per operation of the hot paths against the baseline; ARGS=--update renews it
	$(BIN)/python benchmarks/instructions/count.py $(ARGS)

damage: $(STAMP)  ## recorded books with a frame removed, repeated or late at every place (FRAMES=300); needs HFTPY_FIXTURES
	HFTPY_DAMAGE_FRAMES=$(or $(FRAMES),300) $(BIN)/python -m pytest tests/exchange/test_damage_everywhere.py --timeout 0 $(ARGS)

# LD_PRELOAD: Python itself is not built with the sanitizer, and throws C++ exceptions only through libstdc++.
asan: $(STAMP)  ## the core's Python tests against a core that is built with AddressSanitizer
	HFT_BUILD=asan $(BIN)/python setup.py -q build --build-lib build/asan
	cd build/asan && LD_PRELOAD="$$($${CXX:-g++} -print-file-name=libasan.so) $$($${CXX:-g++} -print-file-name=libstdc++.so)" \
		PYTHONMALLOC=malloc ASAN_OPTIONS=detect_leaks=0:exitcode=66 UBSAN_OPTIONS=print_stacktrace=1 \
		PYTHONPATH=$(CURDIR)/build/asan HFTPY_EXPECT_BUILD=asan $(CURDIR)/$(BIN)/pytest -c $(CURDIR)/pyproject.toml \
		--rootdir $(CURDIR) -q -p no:cacheprovider -m "not native and not leak" --timeout 600 \
		$(CURDIR)/tests/core $(CURDIR)/tests/fuzz $(ARGS)

wheels: $(STAMP)  ## build a wheel for every CPython that is found, and test each where there is no compiler
	$(BIN)/python tests/check_wheels.py $(ARGS)

clean:  ## remove everything that was made
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .benchmarks
	find hftcore hftpy tests benchmarks examples -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
	rm -f hftcore/*.so hftcore/layout.pxd hftcore/layout.pyx
