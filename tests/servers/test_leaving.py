"""A server that is told to end leaves nothing behind at the store's: no sign of life, no lease."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.servers.serving import COMMANDS, serving
from tests.support.redis.fixtures import StartServer
from tests.support.redis.patience import until

POLICY = """\
version = 1
[hashing]
key = "00112233445566778899aabbccddeeff"
[store]
url = "{url}"
mode = "leased"
memory = "{store}"
timeout = "5s"
[identities]
account = {{ from = "header:x-api-key" }}
[[limit]]
name = "chat"
match = "/v1/chat"
per = "account"
rate = "10000/year"
algorithm = "fixed-window"
"""


@pytest.mark.parametrize("server_name", COMMANDS)
async def test_worker_that_ends_by_a_signal_takes_leave(
    start_server: StartServer, server_name: str, tmp_path: Path
) -> None:
    redis = start_server()
    path = tmp_path / "policy.toml"
    path.write_text(POLICY.format(url=redis.url, store=tmp_path / "store"))
    with serving(server_name, policy=path, workers=1) as port:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            answer = await client.get("/v1/chat", headers={"x-api-key": "a"})
            assert answer.status_code == 200
        assert redis.client.hlen("ratelimit:workers") == 1

    def is_farewell() -> bool:
        redis.client.persist("ratelimit:workers")  # or its sign of life would end by its time
        return not redis.client.hlen("ratelimit:workers")

    until(is_farewell, "its farewell")
