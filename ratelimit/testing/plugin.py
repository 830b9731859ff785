"""The pytest plugin `ratelimit`: loaded by itself where this library is installed.

From the start of a run on, every limiter counts in private memory by a clock that stands still.
What a test counted is forgotten when it ends. `ratelimit_isolated = false` in pytest's configuration
leaves limiters as they are; `-p no:ratelimit` leaves out the plugin.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ratelimit.testing.isolation import Isolation

_SETTING = "ratelimit_isolated"
_ISOLATION = pytest.StashKey[Isolation]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the setting."""
    parser.addini(_SETTING, "whether limiters count in private memory by a clock of the tests'", "bool", True)


def pytest_configure(config: pytest.Config) -> None:
    """Isolate limiters before any module of the application is imported."""
    isolation = config.stash[_ISOLATION] = Isolation()
    if config.getini(_SETTING):
        isolation.start()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave limiters as they are again."""
    if _ISOLATION in config.stash:
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
