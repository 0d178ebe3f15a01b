# Each target installs what it needs into the virtual environment .venv, with the versions in constraints.txt.
PYTHON ?= python3
PORT ?= 3000
BIN := .venv/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt

KIND := $(if $(filter-out 0,$(GPU)),gpu,$(if $(filter-out 0,$(OPENVINO)),openvino,cpu))

export BENTOML_DO_NOT_TRACK := True
export PYTHONDONTWRITEBYTECODE := # the tests start Python some hundred times, which reads compiled modules where it may keep them

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

serve: .venv/serving ## serve the models in models/ on 127.0.0.1, port 3000 or PORT=…
	@echo 'http://127.0.0.1:$(PORT) answers in a few seconds. Try:'
	@echo "  curl -X POST http://127.0.0.1:$(PORT)/generate -H 'Content-Type: application/json' -d '{\"seed\": 7, \"n\": 16}' -o pictures.png"
	@$(BIN)/bentoml serve service:GanService --host 127.0.0.1 --port $(PORT)

test: .venv/development ## check format, lint and types, and run the tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest --numprocesses auto --dist worksteal

test-clusters: .venv/development ## kill processes of Ray and of torchrun, and see that nothing is lost
	$(BIN)/pytest tests/clusters

test-page: .venv/page ## try the page at / in Chromium, which is installed where there is none
	@. tests/page/browser.sh && $(BIN)/pytest tests/page

test-online: .venv/development ## convert a published generator, which is fetched from PyPI
	$(BIN)/pytest tests/online

train: .venv/training ## train the reference recipe, or as the flags in ARGS='…' say; ARGS='--help' lists them
	$(BIN)/python -m training.run $(ARGS)

fashion-mnist: .venv/training ## retrain models/fashion-mnist, and replace it if the new model is better: over an hour on two cores
	$(BIN)/python -m training.run --recipe acgan --width 64 --name fashion-mnist --images 3.2M --anneal-images 4M \
		--learning-rate-end 1e-5 --ema-half-life 50k --checkpoint-every 200k --sample-every 200k
	$(BIN)/python -m training.run --resume latest --images 3.6M --anneal-images 4.8M --aux-classifier-weight 0.5 \
		--change anneal-images,aux-classifier-weight --checkpoint-every 100k --measure 5000 --promote

avatars-data: examples/avatars/node_modules ## render cartoon faces to train on into data/avatars; needs node 18 or newer
	node examples/avatars/render.mjs --out data/avatars

# What an avatar shows, whatever its style; the colours of parts that few have are left out
AVATAR_ATTRIBUTES := background,hair,hairAccessories,head,eyes,eyebrows,earrings,freckles,nose,beard,mouth,glasses,hairColor,skinColor,\
	body,lips,brows,gesture,bodyIcon,face,facialHair,mask,accessories,clothingColor,headContrastColor,clothing,hat,\
	eyesColor,mouthColor
avatars: .venv/training avatars-data ## train models/avatars anew, and replace it if it is better: minutes on a GPU, a night on two cores
	$(BIN)/python -m training.run --data data/avatars --conditional --recipe acgan --resolution 64 --width 56 --name avatars \
		--attributes data/avatars/options.csv --attribute-columns '$(AVATAR_ATTRIBUTES)' --z-dim 40 --batch-size 128 \
		--r1 1 --penalty-every 16 --learning-rate 4e-4 --learning-rate-end 1e-5 --images 2.3M --anneal-images 2.3M \
		--ema-half-life 40k --features random --sample-every 100k --checkpoint-every 200k --promote

examples/avatars/node_modules: examples/avatars/package-lock.json
	@command -v npm > /dev/null || { echo 'node and npm are needed: https://nodejs.org/en/download, or apt install npm' >&2; exit 1; }
	npm ci --prefix examples/avatars --ignore-scripts --no-audit --no-fund
	@touch $@

bench: .venv/bench ## measure a training step, engines and the service against their peers: under an hour (the service needs wrk)
	$(BIN)/python -m benchmarks.training
	$(BIN)/python -m benchmarks.engines
	$(BIN)/python -m benchmarks.serving

bento: .venv/serving ## build the bento gan-service; OPENVINO=1 for one that runs OpenVINO, GPU=1 for one that uses CUDA
	@deploy/bento.sh $(KIND)

container: .venv/deploy ## build the bento and its container image with docker or podman; OPENVINO=1, GPU=1 as above
	@tag=$$(deploy/bento.sh $(KIND)) && $(BIN)/python -m deploy.image "$$tag"

test-container: .venv/development ## build the container image, run it hardened, and test it; installs podman where there is no engine
	@. tests/container/engine.sh && . tests/container/promtool.sh && BENTOML_HOME=$(CURDIR)/build/test-container $(BIN)/pytest --timeout 900 tests/container

lock: ## renew constraints.txt, and with it the packages of the container images, from the newest versions that pyproject.toml allows
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/pip install --quiet --disable-pip-version-check '.[train,openvino,bulk,otel,hub,mlflow,wandb,bench,page,deploy,dev]'
	build/lock/bin/pip freeze --exclude gan-service | grep -v ' @ ' > constraints.txt
	$(foreach kind,cpu openvino gpu,build/lock/bin/uv pip compile --quiet pyproject.toml $(if $(filter-out cpu,$(kind)),--extra $(kind)) --constraint constraints.txt \
		--universal --python-version 3.11 --generate-hashes --no-header --no-annotate --output-file deploy/requirements-$(kind).txt &&) true

.venv/bin/python:
	$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; } # part of one would count as complete

.venv/serving: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) --editable .
	@touch $@

.venv/training: .venv/serving
	$(PIP) --editable '.[train]'
	@touch $@

.venv/bench: .venv/training
	$(PIP) --editable '.[train,openvino,bench]'
	@touch $@

.venv/deploy: .venv/serving
	$(PIP) --editable '.[deploy]'
	@touch $@

.venv/development: .venv/training
	$(PIP) --editable '.[train,openvino,bulk,otel,hub,mlflow,wandb,deploy,dev]'
	@touch $@

.venv/page: .venv/development
	$(PIP) --editable '.[train,openvino,bulk,otel,hub,mlflow,wandb,page,deploy,dev]'
	@touch $@

.PHONY: help serve test test-clusters test-page test-online train fashion-mnist avatars avatars-data bench bento container test-container lock
