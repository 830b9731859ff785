"""Real servers, real sockets, two workers: exactly the limit is admitted between them."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import httpx
import pytest
import websockets

from tests.servers.serving import COMMANDS, PATIENCE_S, serving
from tests.support.redis.live import turns
from tests.support.stopwatch import Stopwatch

POLICY = """\
version = 1
[store]
memory = "{store}"
[identities]
account = {{ from = "header:x-api-key" }}
[[limit]]
name = "chat"
match = "/v1/chat"
per = "account"
rate = "40/year"
algorithm = "fixed-window"
[[limit]]
name = "stream"
match = "/v1/stream"
per = "ip"
rate = "2/day"
[[limit]]
name = "handshakes"
match = "/v1/live"
per = "account"
rate = "1/day"
unit = "handshakes"
[[limit]]
name = "messages"
match = "/v1/live"
per = "account"
rate = "2/day"
unit = "messages"
"""


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.toml"
    path.write_text(POLICY.format(store=tmp_path / "store"))
    return path


@pytest.mark.parametrize("server", COMMANDS)
async def test_server_with_two_workers_admits_exactly_the_limit(server: str, policy: Path) -> None:
    with serving(server, policy, workers=2) as port:
        limits = httpx.Limits(max_connections=30)
        address = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(base_url=address, limits=limits, timeout=60) as client:
            keys = ["a"] * 120 + ["b"] * 60
            answers = await asyncio.gather(
                *(client.get("/v1/chat", headers={"x-api-key": key}) for key in keys)
            )
            seen = Counter((key, answer.status_code) for key, answer in zip(keys, answers, strict=True))
            assert seen == {("a", 200): 40, ("a", 429): 80, ("b", 200): 40, ("b", 429): 20}
            refused = next(answer for answer in answers if answer.status_code == 429)
            assert refused.headers["ratelimit"].startswith('"chat";r=0;t=')
            assert refused.headers["content-type"] == "application/problem+json"
            remaining = sorted(
                int(answer.headers["ratelimit"].partition("r=")[2].partition(";")[0])
                for key, answer in zip(keys, answers, strict=True)
                if key == "a" and answer.status_code == 200
            )
            assert remaining == list(range(40))

            streams = [await client.get("/v1/stream") for _ in range(3)]
            assert [stream.status_code for stream in streams] == [200, 200, 429]
            assert streams[0].text == "data: 0\n\ndata: 1\n\ndata: 2\n\n"

        live = f"ws://127.0.0.1:{port}/v1/live"
        keyed = {"x-api-key": "a"}
        async with websockets.connect(live, additional_headers=keyed) as connection:
            await connection.send("one")
            assert await connection.recv() == "one"
            await connection.send("two")
            assert await connection.recv() == "two"
            await connection.send("three")
            with pytest.raises(websockets.ConnectionClosed) as closed:
                await connection.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1008
        with pytest.raises(websockets.InvalidStatus) as denied:
            async with websockets.connect(live, additional_headers=keyed):
                pass
        # All three answer a denied handshake with a response of ours.
        assert denied.value.response.status_code == 429
        assert int(denied.value.response.headers["retry-after"]) > 3600


async def test_policy_file_is_watched_while_the_server_runs(policy: Path) -> None:
    with serving("uvicorn", policy, workers=1) as port:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            first = await client.get("/v1/chat", headers={"x-api-key": "a"})
            assert first.headers["ratelimit-policy"] == '"chat";q=40;w=31104000'
            policy.write_text(policy.read_text().replace("40/year", "50/year"))

            async def is_in_force() -> bool:
                answer = await client.get("/v1/chat", headers={"x-api-key": "b"})
                return answer.headers["ratelimit-policy"] == '"chat";q=50;w=31104000'

            with Stopwatch() as watch:
                while not await is_in_force():
                    assert watch.s < PATIENCE_S, "the changed policy was not put in force"
                    await turns(100)
            again = await client.get("/v1/chat", headers={"x-api-key": "a"})
            # 50 minus this request and the one before the reload: nothing was forgotten.
            assert again.headers["ratelimit"].startswith('"chat";r=48;')
