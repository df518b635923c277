PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready

.PHONY: run test slow up check bench browser

run: $(READY)  ## the main job on real data, from raw lines to live prices
	@$(BIN)/pricing run

test: $(READY)
	@$(BIN)/python -m pytest -m "not slow and not browser" --numprocesses auto --maxprocesses 4 --dist loadfile

slow: $(READY)  ## what the tests leave out because it takes an hour: kills, servers, every command of the documents
	@$(BIN)/python -m pytest -m "slow and not browser"

up: $(READY)  ## servers, worker and deployments; Ctrl-C ends them
	@$(BIN)/pricing up

bench: $(READY)  ## our model beside others on markets whose truth is known: a table and plots in results/; takes hours
	@$(BIN)/pip install --quiet --constraint infra/constraints.txt --editable ".[dev,bench]"
	@$(BIN)/pip install --quiet --no-deps obp==0.4.1  # asks for an older scikit-learn than it needs
	@for part in portfolio training_speed scoring_speed fine_tuning promotion closed_loop thompson demand_shift run; do \
		$(BIN)/python -m tests.benchmarks.$$part --results results || exit 1; done
	@for part in closed_loop thompson; do \
		$(BIN)/python -m tests.benchmarks.$$part --results results/without_costs --seeds 1 --cost_percent 0 || exit 1; done
	@export PRICING_HOME=results/tafeng_home; $(BIN)/pricing run && for part in tafeng recommendation; do \
		$(BIN)/python -m tests.benchmarks.$$part --results results || exit 1; done
	@$(BIN)/python -m tests.benchmarks.publication --home results/database
	@$(BIN)/python -m tests.benchmarks.write_paths --home results/written
	@PREFECT_HOME=results/prefect PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS=120 \
		$(BIN)/python -m tests.benchmarks.scaling --home results/scaling_home --results results
	@$(BIN)/python -m tests.benchmarks.realtime --home results/realtime_home --results results

# Debian: apt-get install chromium
browser: $(READY)  ## the pages in headless Chromium: all screenshots in results/browser, the documents' in docs/images
	@$(BIN)/pip install --quiet --constraint infra/constraints.txt --editable ".[dev,browser]"
	@$(BIN)/python -m pytest -m browser tests/browser
	@cd results/browser && cp train-form.png train-run.png model-card.png approval.png data-docs.png ../../docs/images/

check: $(READY)
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

# torch first and alone: asked for beside other packages, pip may choose a build with gigabytes of CUDA.
$(READY): pyproject.toml infra/constraints.txt
	@test -d .venv || $(PYTHON) -m venv .venv
	@echo "installing torch, then the platform's other packages (a few minutes, once)"
	@$(BIN)/python -c "import torch" 2>/dev/null || $(BIN)/pip install --quiet torch==2.13.0
	@$(BIN)/pip install --quiet --constraint infra/constraints.txt --editable ".[dev]"
	@touch $(READY)
