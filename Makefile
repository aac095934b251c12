# Two commands to begin with: `make demo` and `make test`.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint types imports web check clean

# The CPU build of torch first: asking for torch alone would fetch gigabytes of CUDA libraries.
# MediaPipe asks for the OpenCV that needs a desktop's libGL; the headless one serves it as well.
# Both own the same files, so both go before one comes.
$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet torch==2.13.0
	$(BIN)/pip install --quiet -e '.[dev]'
	$(BIN)/pip uninstall --quiet --yes opencv-contrib-python opencv-contrib-python-headless
	$(BIN)/pip install --quiet --no-deps opencv-contrib-python-headless==4.11.0.86
	touch $@

demo: $(VENV)/.installed
	$(BIN)/python examples/demo.py --out out

test: $(VENV)/.installed
	$(BIN)/python -m pytest -q

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed
	$(BIN)/pyright

imports: $(VENV)/.installed
	$(BIN)/lint-imports

# The viewer's own checks and tests; needs node. `cd web && npm run build` builds the page.
web:
	cd web && npm ci --no-audit --no-fund && npm run check && npm test

check: test lint types imports

clean:
	rm -rf $(VENV) out
