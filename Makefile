# `make run`: synthetic radiographs -> clusters -> labels -> classifier -> artifact -> running service.
# `make test`: style, types, import rules and tests. Both set up .venv by themselves.

PYTHON ?= python3
PORT ?= 3000
VENV := .venv
BIN := $(VENV)/bin
DEMO := .demo
MODEL ?= $(DEMO)/models/samx

IMAGES := training service
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
BUILDER := $(shell command -v docker || command -v buildah)
# For buildah: the OCI's format has no HEALTHCHECK.
export BUILDAH_FORMAT := docker
COMPILE := $(BIN)/uv pip compile --quiet --no-config --generate-hashes --no-header --no-annotate --no-emit-index-url \
  --no-emit-find-links --python-version 3.11 --python-platform x86_64-manylinux_2_28 -c constraints.txt

.PHONY: run test check loadtest sbom setup images locks clean

run: setup
	@test -f $(DEMO)/export/truth.csv || $(BIN)/python -m samx.phantom --out $(DEMO)/export --num-radiographs 1500 --seed 1
	@$(BIN)/python -m training run --config training/demo.toml
	@$(BIN)/python -m service serve --artifact $(DEMO)/models/samx --port $(PORT) \
	  --example $$(find $(DEMO)/export/radiographs -name '*.dcm' | sort | head -n 1)

test: check
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

check: setup
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

# What is installed, as CycloneDX; its maker runs in an environment of its own.
sbom: setup
	@$(BIN)/uvx --quiet --from cyclonedx-bom==7.5.0 cyclonedx-py environment --pyproject pyproject.toml \
	  --output-reproducible --of JSON -o sbom.json $(BIN)/python
	@echo "sbom.json"

# Users of a service on MODEL, with thresholds that set the exit code: loadtest/README.md
loadtest: setup
	@$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt --group load
	@$(BIN)/python -m loadtest --artifact $(MODEL) --out $(DEMO)/load

setup: $(VENV)/installed

# torch first: the CPU build where there is no NVIDIA driver, if PyTorch's index can be reached; else what pip finds.
$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "SAM-X needs Python 3.11 or newer; found $$($(PYTHON) -V). Set PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Setting up $(VENV) (once, a few minutes)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --torch-backend=auto -c constraints.txt torch torchvision 2>/dev/null \
	  || $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch torchvision
	@$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[training,service,client]' --group dev
	@touch $@

# VARIANT=cpu or cuda for both, TORCH_INDEX, PYTHON_IMAGE: see the Dockerfiles.
images:
	@test -n "$(BUILDER)" || { echo "make images needs docker or buildah"; exit 1; }
	@for image in $(IMAGES); do \
	  $(BUILDER) build -f $$image/Dockerfile -t samx-$$image:$(VERSION) \
	    $(foreach name,VARIANT TORCH_INDEX PYTHON_IMAGE,$(if $($(name)),--build-arg $(name)=$($(name)))) . || exit 1; \
	done

# After a change of constraints.txt: what the images install, with the hash of every file, as PyPI has it.
locks: setup
	@printf 'torch\ntorchvision\n' | $(COMPILE) - -o locks/torch-cuda.txt
	@for image in $(IMAGES); do \
	  $(COMPILE) pyproject.toml --extra $$image -o locks/$$image.txt \
	    $$(sed -nE 's/^(torch|torchvision|triton|nvidia-[a-z0-9-]+|cuda-[a-z]+)==.*/--no-emit-package \1/p' locks/torch-cuda.txt); \
	done

clean:
	rm -rf $(VENV) $(DEMO)
