# Everything is built once, optimised, into one folder: wasmtime is large, and a guest's cost is only told by a release.
CARGO_FLAGS := --release --locked
TARGET      := $(or $(CARGO_TARGET_DIR),target)
AURORA      := $(TARGET)/release/aurora
GUESTS      := guests/normalize-core guests/route-core guests/federate-core guests/inbound-core

.PHONY: help setup build guests demo test soak containment bench lint clean

help: ## Show what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what is missing: Debian's brokers (without starting them), the wasm target
	@.ci/setup

build: setup ## Build the daemon
	cargo build $(CARGO_FLAGS)

guests: build ## Build the stock guests into target/guests, and check what they import
	$(AURORA) guest build $(GUESTS)

demo: guests ## Show events crossing, on private brokers; ARGS="--keep" to try it by hand
	@$(AURORA) demo $(ARGS)

# Without back-traces, which bury what a failing test says.
test: guests ## Run every test
	@.ci/servers
	@.ci/languages
	RUST_BACKTRACE=0 cargo test $(CARGO_FLAGS) --workspace

soak: guests ## Break everything for more than an hour, and print one table; ONLY=redis for some cases, SEED= to repeat
	AURORA_FAULTS_ONLY=$(ONLY) AURORA_FAULTS_SEED=$(SEED) \
		cargo test $(CARGO_FLAGS) --package aurora-tests --test aurora -- --ignored --exact --nocapture faults::soak

containment: guests ## Print what each thing that no guest should do costs: until it is contained, and the others
	cargo test $(CARGO_FLAGS) --workspace --test aurora -- --exact --nocapture \
		isolation::containment::each_attack_is_contained_and_its_price_is_told

bench: guests ## Measure, and print one table; ARGS="--quick" for a short form
	@cargo bench --locked --package aurora --bench pipeline > $(TARGET)/bench.txt
	@echo >> $(TARGET)/bench.txt
	@cargo bench --locked --package aurora --bench end_to_end -- $(ARGS) >> $(TARGET)/bench.txt
	@echo >> $(TARGET)/bench.txt
	@cargo bench --locked --package aurora --bench spool >> $(TARGET)/bench.txt
	@cat $(TARGET)/bench.txt

lint: setup ## Check format, lints, and (where cargo-deny is installed) dependencies
	cargo fmt --all --check
	cargo clippy $(CARGO_FLAGS) --workspace --all-targets -- -D warnings
	@if command -v cargo-deny >/dev/null; then cargo deny --locked check bans licenses sources; else echo "cargo-deny is not installed, dependencies not checked"; fi

clean: ## Remove what was built
	cargo clean
