"""Fixtures of these tests: a limiter over a real table."""

from __future__ import annotations

import mmap
from collections.abc import Iterator

import pytest

from ratelimit.core.memory.table import table_bytes
from tests.telemetry.fakes import NOW_NS, FakeLimiter, new_table


@pytest.fixture
def memory() -> mmap.mmap:
    return mmap.mmap(-1, table_bytes(1000))


@pytest.fixture
def limiter(memory: mmap.mmap) -> Iterator[FakeLimiter]:
    table = new_table(memory)
    table.join(1, 1, NOW_NS)
    yield FakeLimiter(table)
    table.close()
