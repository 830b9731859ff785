"""Settings of the whole suite: the build it tests, Hypothesis' profiles, the long tests' switch."""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests.support.build import StaleBuildError, check_build

if TYPE_CHECKING:
    from ssl import SSLContext

    from httpx._types import CertTypes

pytest_plugins = ["tests.support.redis.fixtures"]

pytest.register_assert_rewrite(
    "tests.support.bounds",
    "tests.support.laws.admission",
    "tests.support.laws.costs",
    "tests.support.laws.clocks",
    "tests.support.laws.corrections",
    "tests.support.machine",
)

# Two cores shared with other work make single examples slow now and then: no deadline.
COMMON = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", COMMON, max_examples=60, derandomize=True, database=None)
settings.register_profile("deep", COMMON, max_examples=2_000)
settings.register_profile("quick", COMMON, max_examples=10, derandomize=True, database=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

# What runs the tests beside one another says a width, and commands would write lines of it.
os.environ.pop("COLUMNS", None)


SLOW_FOLDERS = frozenset(
    (
        "benchmarks",
        "clients",
        "clustering",
        "clustering_hosts",
        "correlation",
        "declarations",
        "deployment",
        "doors",
        "examples",
        "frameworks",
        "leaks",
        "limits_storage",
        "mutation",
        "night",
        "packages",
        "pages",
        "parsing",
        "processes",
        "redis",
        "servers",
        "serving",
        "testing",
        "typing",
    )
)
"""Folders with tests that start servers, processes or real clients, or search for long;"""
SLOW_FILES = frozenset(
    (
        "allowance/test_explaining.py",
        "allowance/test_findings.py",
        "allowance/test_hazards.py",
        "allowance/test_memory.py",
        "allowance/test_operator_numbers.py",
        "allowance/test_workers.py",
        "architecture/test_habits.py",
        "architecture/test_loading.py",
        "asgi/test_compiled_parity.py",
        "asgi/test_exposure.py",
        "asgi/test_simulated_streams.py",
        "asgi/test_startup.py",
        "asgi/test_wrong_policies.py",
        "cli/test_actors.py",
        "cli/test_acts.py",
        "cli/test_broken_file.py",
        "cli/test_demo.py",
        "cli/test_demo_model.py",
        "cli/test_doctor.py",
        "cli/test_hostile_files.py",
        "cli/test_naming.py",
        "cli/test_outside.py",
        "cli/test_owners.py",
        "cli/test_saturated.py",
        "conduct/test_thrown_strikes.py",
        "console/test_browser.py",
        "console/test_large.py",
        "console/test_morning.py",
        "console/test_pages.py",
        "console/test_walk.py",
        "core/test_hygiene.py",
        "core/test_threads.py",
        "docs/test_site.py",
        "grpc/test_workers.py",
        "integrations/test_releases.py",
        "limiter/test_secrets.py",
        "load/test_controllers.py",
        "load/test_engine_reports.py",
        "policy/test_hostile.py",
        "replay/test_middleware.py",
        "replay/test_parity.py",
        "routing/test_differential.py",
        "stores/test_contract.py",
        "stores/test_damage.py",
        "telemetry/test_alert_rules.py",
        "usage/test_middleware_parity.py",
        "usage/test_parity.py",
        "wsgi/test_servers.py",
        "wsgi/test_threads.py",
    )
)
"""and files of other folders. `make quick` is without them, and without tests marked `slow`."""


NIGHTLY_FILES = frozenset(
    (
        "benchmarks/test_adaptive_means.py",
        "benchmarks/test_adaptive_model.py",
        "benchmarks/test_adaptive_real.py",
        "benchmarks/test_contenders.py",
        "benchmarks/test_families.py",
        "benchmarks/test_families_contest.py",
        "benchmarks/test_families_short.py",
        "benchmarks/test_llm.py",
        "benchmarks/test_months.py",
        "benchmarks/test_population.py",
        "benchmarks/test_replay_actors.py",
        "benchmarks/test_week.py",
        "night/test_times.py",
    )
)
"""Files with tests that measure the machine, or take minutes: `make nightly` has them, and what is marked."""


@pytest.fixture(autouse=True)
def level_of_logs() -> Iterator[None]:
    """Put the root logger's level back, as frameworks set it: later tests find more in their logs then."""
    root = logging.getLogger()
    level = root.level
    yield
    root.setLevel(level)


@pytest.fixture(scope="session", autouse=True)
def one_context_of_certificates() -> Iterator[None]:
    """Read the certificates that HTTP clients trust once: making a client takes 19 ms with them, 0.3 without.

    A client that says itself what it trusts is given that, and so is one in another environment.
    """
    import httpx._transports.default as default

    made = default.create_ssl_context

    @lru_cache(4)
    def shared(trust_env: bool, *environment: str | None) -> SSLContext:
        return made(trust_env=trust_env)

    def context(
        verify: SSLContext | str | bool = True, cert: CertTypes | None = None, trust_env: bool = True
    ) -> SSLContext:
        if verify is not True or cert is not None:
            return made(verify, cert, trust_env)
        return shared(trust_env, *map(os.environ.get, ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE")))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(default, "create_ssl_context", context)
        yield


def is_slow(path: Path) -> bool:
    """Return whether all tests of a folder or file are slow."""
    return is_of(path, SLOW_FOLDERS, SLOW_FILES)


@lru_cache(None)  # It is asked three times of each test.
def is_of(path: Path, folders: frozenset[str], files: frozenset[str]) -> bool:
    """Return whether a file is in one of some folders of tests, or one of some files."""
    place = path.relative_to(Path(__file__).parent)
    return (bool(place.parts) and place.parts[0] in folders) or place.as_posix() in files


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    # Collecting what is not run takes a third of the time of what is.
    if not collection_path.is_relative_to(Path(__file__).parent):
        return None
    if config.option.markexpr == "not slow and not nightly":
        return is_slow(collection_path) or None
    return None


def pytest_collection_finish() -> None:
    # Modules and tests stay to the end: no collection in a test need look through a million objects.
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if is_slow(item.path):
            item.add_marker(pytest.mark.slow)
        if is_of(item.path, frozenset(), NIGHTLY_FILES):
            item.add_marker("nightly")
    # Files are dealt out in this order: what takes long comes first, so that all cores are busy to the end.
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kills",
        type=int,
        default=500,
        help="how many hammering workers are killed (10000 before a release)",
    )
    parser.addoption(
        "--spellings",
        type=int,
        default=400,
        help="how many spellings of each kind each framework is asked about (20000 before a release)",
    )

    parser.addoption(
        "--faults",
        type=int,
        default=400,
        help="how many wrong values, inputs and replies a test makes up (20000 before a release)",
    )

    parser.addoption(
        "--screenshots", action="store_true", help="write the pictures of the documentation anew"
    )

    parser.addoption(
        "--streams",
        type=int,
        default=50_000,
        help="how many streams are simulated to their ends (1000000 before a release)",
    )
    parser.addoption(
        "--targets",
        type=int,
        default=60,
        help="how many request targets each router is sent by each server (5000 before a release)",
    )
    parser.addoption(
        "--meters",
        type=int,
        default=100,
        help="how many random policies are metered beside the reference (3000 before a release)",
    )
    parser.addoption(
        "--programs",
        type=int,
        default=2,
        help="how many random programs of each kind meter requests at one time (300 before a release)",
    )
    parser.addoption(
        "--night",
        type=float,
        default=4.0,
        help="how many seconds the server of the night's tests is away (90 and 600 before a release)",
    )


@pytest.fixture
def faults(request: pytest.FixtureRequest) -> int:
    """Return how many faults a test that makes them up tries."""
    return int(request.config.getoption("--faults"))


def pytest_configure(config: pytest.Config) -> None:
    try:
        check_build()
    except StaleBuildError as error:
        raise pytest.UsageError(str(error)) from error
