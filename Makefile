# All tasks of the project. Every target installs first what is missing, so that each works on a fresh checkout.
#   CUDA=1          setup, build, demo …: libtorch with its CUDA half
#   CARGOFLAGS=…    passed to cargo (CI: --locked)
#   DATA=…          evaluate: the folder with the held-out pictures
#   JOBS=… SCENES=… soak: how many
#   COUNT=…         mutations: how many
#   RELEASES='…'    test-packages: releases of Debian and Ubuntu (default: bookworm trixie)
#   SECONDS=…       fuzz: how long each target runs
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
export CUDA
# An empty LIBTORCH is no LIBTORCH; cargo would take it for one.
ifeq ($(strip $(LIBTORCH)),)
unexport LIBTORCH
endif
CARGOFLAGS ?=
JOBS ?= 2000
SCENES ?= 3000
DEMO_OUTPUT ?= demo-output
COUNT ?= 10000
# bash has a SECONDS of its own.
FUZZ_SECONDS := $(or $(SECONDS),60)
unexport SECONDS

.PHONY: help setup build demo evaluate test test-slurm test-qgis qgis-plugin soak mutations fuzz sanitize audit lint words fmt-check clippy rustdoc fmt docs reference dist release test-packages test-images measure-gpu bench clean distclean

help: ## list the targets
	@awk -F ':[^#]*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

setup: ## install system packages (with apt, if it may) and libtorch in .libtorch/; CUDA=1: its CUDA half too
	@scripts/setup.sh

build: setup ## build target/release/segearth
	@scripts/timed.sh cargo build --release $(CARGOFLAGS)

demo: build ## map the land cover of the sample scene into demo-output/
	@scripts/timed.sh target/release/segearth run pipelines/landcover.yaml --overwrite --output $(DEMO_OUTPUT)

evaluate: setup ## measure the built-in model on held-out pictures; DATA=FOLDER as models/README.md says
	@test -d "$(DATA)/ucmerced" -a -d "$(DATA)/dubai" || { echo "DATA=$(DATA) holds no ucmerced and dubai: see models/README.md" >&2; exit 1; }
	@scripts/timed.sh cargo run --release $(CARGOFLAGS) -p segearth-train -- figures "$(DATA)"

test: setup ## run all tests; the last line says how many could not run here, and why
	@scripts/test.sh $(CARGOFLAGS)

test-slurm: setup ## run a job on a real Slurm of two nodes and lose one of them (as root; installs Slurm with apt)
	@cargo build $(CARGOFLAGS)
	@tests/slurm/run.sh target/debug/segearth

qgis-plugin: build ## make the zip of the QGIS plugin, target/qgis/segearth.zip
	@scripts/qgis-plugin.sh target/release/segearth target/qgis/segearth.zip

test-qgis: setup ## install the plugin in a clean profile of QGIS and run all its algorithms (as root: installs QGIS with apt, about 1 GB)
	@cargo build $(CARGOFLAGS)
	@scripts/test-qgis.sh target/debug/segearth

soak: setup ## run JOBS=2000 small jobs in a row, then SCENES=3000 scenes in one process; check memory and open files
	@cargo build $(CARGOFLAGS)
	@tests/soak/run.sh target/debug/segearth $(JOBS) $(SCENES)

mutations: setup ## run the binary on COUNT=10000 damaged inputs, and count what becomes of them
	@SEGEARTH_MUTATIONS=$(COUNT) scripts/timed.sh cargo test $(CARGOFLAGS) --test it mutations -- --nocapture

fuzz: setup ## run libFuzzer on all parsers, SECONDS=60 for each
	@CARGOFLAGS="$(CARGOFLAGS)" scripts/timed.sh scripts/fuzz.sh $(FUZZ_SECONDS)

sanitize: setup ## run the unit tests under AddressSanitizer
	@CARGOFLAGS="$(CARGOFLAGS)" scripts/timed.sh scripts/sanitize.sh

audit: ## check licences, sources and advisories of the dependencies; installs cargo-deny in .tools/
	@scripts/audit.sh

lint: words fmt-check clippy rustdoc ## check spelling, formatting, clippy and rustdoc; warnings are errors

words: ## check spelling, and words that the project does not use; installs typos in .tools/
	@scripts/words.sh

fmt-check:
	cargo fmt --all --check

clippy: setup
	cargo clippy --workspace --all-targets $(CARGOFLAGS) -- -D warnings

rustdoc: setup
	RUSTDOCFLAGS="-D warnings" cargo doc --quiet --no-deps --workspace $(CARGOFLAGS)

fmt: ## format the code
	cargo fmt --all

docs: ## build guides and reference as a book in docs/book/; installs mdBook in .tools/
	@scripts/docs.sh

reference: setup ## renew the generated pages of the reference, and the output that guides show
	@SEGEARTH_RENEW_DOCS=1 cargo test $(CARGOFLAGS) --test it docs::

dist: setup ## make all packages in target/package/: archive, .deb, wheels, checksums, list of parts
	@scripts/timed.sh packaging/release.sh --draft

release: setup ## the same for a tagged commit, after checking version and CHANGELOG
	@packaging/release.sh

test-packages: ## install every package in clean systems (as root, with debootstrap) and compare the demo's labels
	@packaging/test.sh $(RELEASES)

test-images: ## run the recipes of the images in clean systems (as root, with debootstrap; the Dockerfile needs buildah)
	@packaging/test-images.sh

measure-gpu: setup ## measure the model on this machine's GPU (DEVICE=cpu: rehearse it), into target/measure/
	@cargo build --release $(CARGOFLAGS) --bin segearth-model-bench
	@scripts/measure-gpu.sh --device $(or $(DEVICE),cuda)

bench: build ## measure a window and a scene beside the transformer alone, then kernels and stitching
	@scripts/timed.sh target/release/segearth bench
	@scripts/timed.sh cargo bench $(CARGOFLAGS)

clean: ## remove what cargo, the demo and the book made; libtorch stays
	cargo clean
	rm -rf $(DEMO_OUTPUT) docs/book

distclean: clean ## remove libtorch and the tools too
	rm -rf .libtorch .libtorch.partial .tools
