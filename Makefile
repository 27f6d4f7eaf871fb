# The one door. Every target sets up first what is missing, so each of them works on a fresh checkout.
#   CUDA=1          setup, build, demo …: libtorch with its CUDA half
#   CARGOFLAGS=…    passed to cargo (CI: --locked)
#   DATA=…          evaluate: the folder with the held-out pictures
#   JOBS=… SCENES=… soak: how many
#   COUNT=…         mutations: how many
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

.PHONY: help setup build demo evaluate test test-slurm soak mutations fuzz sanitize audit lint words fmt-check clippy rustdoc fmt docs reference bench clean distclean

help: ## these lines
	@awk -F ':[^#]*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

setup: ## system packages (with apt where it may) and libtorch in .libtorch/; CUDA=1 for both halves
	@scripts/setup.sh

build: setup ## target/release/segearth
	@scripts/timed.sh cargo build --release $(CARGOFLAGS)

demo: build ## the sample scene into land cover: labels, scores, polygons and a picture in demo-output/
	@scripts/timed.sh target/release/segearth run pipelines/landcover.yaml --overwrite --output $(DEMO_OUTPUT)

evaluate: setup ## the built-in model's figures on held-out pictures; DATA=FOLDER as models/README.md lays it out
	@test -d "$(DATA)/ucmerced" -a -d "$(DATA)/dubai" || { echo "DATA=$(DATA) holds no ucmerced and dubai: see models/README.md" >&2; exit 1; }
	@scripts/timed.sh cargo run --release $(CARGOFLAGS) -p segearth-train -- figures "$(DATA)"

test: setup ## every test; the last line says how many could not run here, and why
	@scripts/test.sh $(CARGOFLAGS)

test-slurm: setup ## a job on a real Slurm of two nodes, one of them lost on the way (as root; installs Slurm with apt)
	@cargo build $(CARGOFLAGS)
	@tests/slurm/run.sh target/debug/segearth

soak: setup ## JOBS=2000 small jobs in a row, then SCENES=3000 scenes in one process: memory and open files stay flat
	@cargo build $(CARGOFLAGS)
	@tests/soak/run.sh target/debug/segearth $(JOBS) $(SCENES)

mutations: setup ## mutated inputs through the real binary, COUNT=10000 of them, and what became of them by kind
	@SEGEARTH_MUTATIONS=$(COUNT) scripts/timed.sh cargo test $(CARGOFLAGS) --test it mutations -- --nocapture

fuzz: setup ## libFuzzer on everything that reads what others wrote, SECONDS=60 for each target
	@CARGOFLAGS="$(CARGOFLAGS)" scripts/timed.sh scripts/fuzz.sh $(FUZZ_SECONDS)

sanitize: setup ## the unit tests under AddressSanitizer
	@CARGOFLAGS="$(CARGOFLAGS)" scripts/timed.sh scripts/sanitize.sh

audit: ## licences, sources and advisories of the dependencies; installs cargo-deny in .tools/ where it is missing
	@scripts/audit.sh

lint: words fmt-check clippy rustdoc ## spelling, formatting, clippy and the code's documentation; warnings are errors

words: ## spelling, and words that the project does not use; installs typos in .tools/ where it is missing
	@scripts/words.sh

fmt-check:
	cargo fmt --all --check

clippy: setup
	cargo clippy --workspace --all-targets $(CARGOFLAGS) -- -D warnings

rustdoc: setup
	RUSTDOCFLAGS="-D warnings" cargo doc --quiet --no-deps --workspace $(CARGOFLAGS)

fmt: ## formats the code
	cargo fmt --all

docs: ## guides and reference as a book in docs/book/; installs mdBook in .tools/ where it is missing
	@scripts/docs.sh

reference: setup ## renew the pages of the reference that the program prints, and the output that guides show
	@SEGEARTH_RENEW_DOCS=1 cargo test $(CARGOFLAGS) --test it docs::

bench: build ## a window and a scene beside the bare transformer; then kernels and stitching alone
	@scripts/timed.sh target/release/segearth bench
	@scripts/timed.sh cargo bench $(CARGOFLAGS)

clean: ## what cargo and the demo made; libtorch stays
	cargo clean
	rm -rf $(DEMO_OUTPUT) docs/book

distclean: clean ## libtorch and tools too
	rm -rf .libtorch .libtorch.partial .tools
