"""A campaign in memory, found and refused, and the console over it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.test_actors import actor as actor
from tests.console.driving import Reader, reading
from tests.support.acting import Actor


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    return tmp_path / "policy.toml"


@pytest.fixture
def reader(actor: Actor, policy: Path) -> Iterator[Reader]:
    with reading(policy) as found:
        yield found
