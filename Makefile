# Two commands, nothing before them: `make run` and `make test`.

SHELL := /bin/bash
CARGO ?= cargo
PROMPT ?= What is an enclave? Answer in two sentences.
LISTEN ?= 127.0.0.1:8080
MODEL ?=

BIN := target/release
model_flag = $(if $(MODEL),--model "$(MODEL)",)

.PHONY: help run serve test build model setup sdk postgres helm format lint corpus eif eif-twice qemu bench bench-engine \
  bench-retrieval bench-boot bench-blind bench-learning eval eval-guardrails eval-learning train-guardrail deny clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: build $(if $(MODEL),,model) ## Boot a simulated enclave, verify it, ask it PROMPT="...", verify the receipt
	@$(BIN)/adyton-sim $(model_flag) run "$(PROMPT)"

serve: build $(if $(MODEL),,model) ## Keep it up, with the OpenAI-compatible proxy on LISTEN=127.0.0.1:8080
	@$(BIN)/adyton-sim $(model_flag) serve --listen $(LISTEN)

test: setup model format lint build sdk postgres helm ## Everything: formatting, lints, unit, vector, compile-fail, fuzz-smoke and system tests
	$(CARGO) test --release --locked --workspace

setup: ## Install, or ask for, what is missing
	@deploy/setup

model: setup ## Fetch the default model, pinned by SHA-256
	@deploy/fetch-model

build: setup ## Build every program
	$(CARGO) build --release --locked --workspace --bins

sdk: setup ## The real OpenAI SDK and a stranger's Python, for the system tests
	@tests/fetch-sdk

postgres: setup ## A real PostgreSQL with pgvector, for the system tests
	@tests/fetch-postgres

helm: setup ## The real helm, and the schemas of Kubernetes, for the tests of the chart
	@tests/fetch-helm

format: setup ## Check the formatting
	$(CARGO) fmt --all --check

lint: setup ## Lints, warnings denied
	$(CARGO) clippy --release --locked --workspace --all-targets -- -D warnings

eif: setup ## Build the enclave image into target/eif and print PCR0, PCR1 and PCR2: about ten minutes, the first time
	@deploy/image/build

eif-twice: setup ## The same, then all that is compiled once more from nothing, and compare bit for bit
	@deploy/image/build --twice

qemu: build eif ## Boot the image in QEMU's Nitro machine: verify it, ask it, attack it; builds QEMU once, five minutes
	@deploy/qemu/build
	$(CARGO) test --release --locked -p adyton-tests --test transports -- --nocapture

corpus: setup ## Write the corpora in tests/vectors/ again, from their seed
	$(CARGO) run --release --locked -p adyton-tests --bin adyton-corpus

bench: build model ## Print medians: appraisal, decision, handshake, first token, tokens a second
	$(CARGO) bench --locked -p adyton-tests --bench verify
	$(CARGO) bench --locked -p adyton-tests --bench decision
	$(CARGO) bench --locked -p adyton-tests --bench paths

bench-engine: build model ## This engine and llama.cpp side by side, on a quiet machine: about ten minutes, and as many to build llama.cpp once
	@tests/fetch-llama
	@tests/fetch-qwen
	$(CARGO) bench --locked -p adyton-tests --bench engine

bench-retrieval: build model postgres ## Vectors beside onnxruntime, look-ups over 100,000 passages here and in PostgreSQL: minutes
	@tests/fetch-onnxruntime
	$(CARGO) bench --locked -p adyton-tests --bench retrieval

bench-boot: build model ## From start to the first verified answer: processes, and the image in QEMU if `make qemu` has built it
	$(CARGO) bench --locked -p adyton-tests --bench boot

bench-blind: setup ## Blind search: sizes, and time on one core, for 4k, 10k and 100k rows: minutes
	$(CARGO) bench --locked -p adyton-homomorphic --bench blind

eval: setup ## What the detectors of behaviour find on simulated workloads, and how often they are wrong: about four minutes
	$(CARGO) bench --locked -p adyton-tests --bench behaviour

eval-guardrails: setup ## What the guardrail finds on public data, and how often it is wrong: some minutes
	$(CARGO) run --release --locked -p adyton-guardrail-eval --bin adyton-guardrail-eval

train-guardrail: setup ## Train the guardrail's models again, from ../shared/datasets/train: half an hour on two cores; goes on if stopped
	$(CARGO) run --release --locked -p adyton-guardrail-eval --bin adyton-guardrail-train
	$(CARGO) run --release --locked -p adyton-guardrail-eval --bin adyton-guardrail-train -- --heads

eval-learning: setup ## Attacks on federated rounds, and what rounds are worth at epsilon 1, 4, 8 and infinity: three minutes
	$(CARGO) run --release --locked -p adyton-learning-eval --bin adyton-learning-eval

bench-learning: setup ## How long 1,000 updates and a local epoch take: seconds
	$(CARGO) run --release --locked -p adyton-learning-eval --bin adyton-learning-eval bench

deny: ## Licences, advisories, sources, with cargo-deny (cargo install cargo-deny)
	$(CARGO) deny check

clean: ## Remove what was built; the fetched model stays
	$(CARGO) clean
