# make demo · make test · make lint · make docs · make bench · make wheels
# Every target sets up the environment in .venv by itself; `make venv` does only that.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TIMM_TESTS := $(VENV)/.timm-tests
# One core for the benchmark, where the system can say so: JAX has threads of its own.
ONE_CORE := $(shell command -v taskset > /dev/null 2>&1 && echo taskset -c 0)
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: venv demo test lint docs bench wheels clean

venv: $(STAMP) $(TIMM_TESTS)

$(STAMP): constraints.txt requirements.txt pyproject.toml core/pyproject.toml $(wildcard plugins/*/pyproject.toml)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -r requirements.txt --group dev
	touch $(STAMP)

# timm's tests are in its source distribution alone; tests/vision/timm_suite runs them on our models.
$(TIMM_TESTS): $(STAMP)
	set -e; version=$$($(BIN)/python -c 'from importlib.metadata import version; print(version("timm"))'); \
	folder=$(VENV)/timm-tests/$$version; \
	if ! test -e $$folder/complete; then \
		$(BIN)/python -m pip download --quiet --no-deps --no-binary timm --dest $$folder timm==$$version; \
		tar -xzf $$folder/timm-$$version.tar.gz -C $$folder --strip-components 1 timm-$$version/tests; \
		touch $$folder/complete; \
	fi
	touch $(TIMM_TESTS)

demo: venv
	$(BIN)/seqdna pretrain --config examples/genomics/demo.yaml --overwrite
	@printf '\n(seqdna and python are in $(BIN): source $(BIN)/activate first)\n'

test: venv
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -q

lint: venv
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .
	$(BIN)/python -m mypy

docs: venv
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

bench: venv
	$(BIN)/python -m pip install --quiet -c constraints.txt --group bench
	OMP_NUM_THREADS=1 $(ONE_CORE) $(BIN)/seqsuite bench ops --level full --overwrite \
		--out benchmarks/results/ops-$$(date +%F).json

wheels: venv
	for package in core plugins/*; do $(BIN)/python -m pip wheel --quiet --no-deps -w dist ./$$package || exit 1; done

clean:
	rm -rf $(VENV) dist docs/_build
