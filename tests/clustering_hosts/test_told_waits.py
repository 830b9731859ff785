"""The same of limits that a server counts: accounts of one actor cannot tell by their waits that they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.redis.server import Server
from tests.support.telling import COUNTED, World, assert_nobody_can_tell


@pytest.mark.parametrize("mode", ["exact", "leased"])
@pytest.mark.parametrize("algorithm", COUNTED)
async def test_two_accounts_cannot_tell_by_their_waits_that_they_are_one_actor(
    server: Server, algorithm: str, mode: str, tmp_path: Path
) -> None:
    store = f'url = "{server.url}"\nmemory = "private"\ntimeout = "5s"\nmode = "{mode}"'
    world = World(store, algorithm, tmp_path / "policy.toml")
    try:
        assert_nobody_can_tell(await world.waits())
    finally:
        await world.close()
