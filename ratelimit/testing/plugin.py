"""The pytest plugin `ratelimit`: loaded by itself where this library is installed.

From the start of a run on, every limiter counts in private memory by a clock that stands still.
What a test counted is forgotten when it ends. `ratelimit_isolated = false` in pytest's configuration
leaves limiters as they are, in shared memory of this run alone; `-p no:ratelimit` leaves out the plugin.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ratelimit.testing.isolation import Isolation
from ratelimit.testing.run_memory import keep_run_memory

_SETTING = "ratelimit_isolated"
_ISOLATION = pytest.StashKey[Isolation]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the setting."""
    parser.addini(_SETTING, "let limiters count in private memory, by a clock of the tests", "bool", True)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Isolate limiters before any `conftest.py` imports the application."""
    _begin(early_config)


def pytest_configure(config: pytest.Config) -> None:
    """Isolate limiters, where the plugin was loaded too late for the first conftest."""
    _begin(config)


def _begin(config: pytest.Config) -> None:
    if _ISOLATION in config.stash:
        return
    keep_run_memory()
    isolation = config.stash[_ISOLATION] = Isolation()
    if config.getini(_SETTING):
        isolation.start()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave limiters as they are again."""
    if _ISOLATION in config.stash and config.getini(_SETTING):
        config.stash[_ISOLATION].stop()


@pytest.fixture(autouse=True)
def _ratelimit_forgets(pytestconfig: pytest.Config) -> Iterator[None]:
    """Forget after each test what it counted."""
    yield
    pytestconfig.stash[_ISOLATION].reset()


@pytest.fixture
def ratelimit(pytestconfig: pytest.Config) -> Isolation:
    """Return what moves the limiters' clock, empties them, and switches them off."""
    if not pytestconfig.getini(_SETTING):
        pytest.fail(f"the fixture `ratelimit` needs `{_SETTING} = true`")
    return pytestconfig.stash[_ISOLATION]
