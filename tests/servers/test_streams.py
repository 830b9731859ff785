"""Answers through real servers with usage on: byte for byte the same, and charged to the unit."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from ratelimit.usage.ending import error_event
from tests.servers.serving import COMMANDS, PATIENCE_S, serving
from tests.support.stopwatch import Stopwatch
from tests.usage.answers import ANSWERS, LONG

POLICY = """\
version = 1
[store]
memory = "{store}"
[identities]
account = {{ from = "header:x-api-key" }}
[[limit]]
name = "tokens"
per = "account"
unit = "output_tokens"
rate = "4000/year"
algorithm = "fixed-window"
cost = "declared"
usage = "auto"
on_refusal = ["cut"]
"""
DECLARES = {"max_tokens": 60, "messages": ["x" * 300_000]}


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.toml"
    path.write_text(POLICY.format(store=tmp_path / "store"))
    return path


def left(response: httpx.Response) -> int:
    return int(response.headers["ratelimit"].partition("r=")[2].partition(";")[0])


@pytest.mark.parametrize("server", COMMANDS)
async def test_answers_are_the_same_byte_for_byte_and_charged_exactly(server: str, policy: Path) -> None:
    with serving(server, policy, workers=1, app="tests.servers.streams:app") as port:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            for number, answer in enumerate(ANSWERS):
                headers = {"x-api-key": f"k{number}"}
                got = await client.post(f"/answers/{number}", json=DECLARES, headers=headers)
                assert (got.status_code, got.content) == (200, answer.body), answer.name
                assert left(got) == 4000 - 60
                after = await client.post("/echo", json=DECLARES, headers=headers)
                assert left(after) == 4000 - answer.usage.output - 60, answer.name
                assert int(after.content) == len(after.request.content)


@pytest.mark.parametrize("server", COMMANDS)
async def test_stream_that_never_ends_is_cut_and_the_application_stops(server: str, policy: Path) -> None:
    with serving(server, policy, workers=1, app="tests.servers.streams:app") as port:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            headers = {"x-api-key": "cut"}
            got = await client.post("/long", json=DECLARES, headers=headers)
            assert got.content.endswith(error_event("openai"))
            text = got.content.removesuffix(error_event("openai"))
            assert (LONG * 9).startswith(text)
            assert 4000 <= text.count(b"w") * 2 // 7 <= 4000 + 2000
            assert (await client.post("/echo", json=DECLARES, headers=headers)).status_code == 429
        # The worker is as well as before, and nothing of the cut was an error of the application's.
        # On a connection of its own: servers close one if they had not read the body that was refused.
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            assert (await client.post("/echo", json=DECLARES, headers={"x-api-key": "b"})).status_code == 200
    log = (policy.parent / f"{server}.log").read_text()
    assert "Traceback" not in log
    assert "AnswerCut" not in log


@pytest.mark.parametrize("server", COMMANDS)
async def test_client_that_hangs_up_pays_what_was_seen(server: str, policy: Path) -> None:
    """No refund for a hang-up: through a real connection that is closed in mid-stream."""
    with serving(server, policy, workers=1, app="tests.servers.streams:app") as port:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            headers = {"x-api-key": "gone"}
            async with client.stream("POST", "/long", json={"max_tokens": 10}, headers=headers) as stream:
                async for _ in stream.aiter_bytes():
                    break
            seen = None
            with Stopwatch() as watch:
                while seen is None or (seen.status_code == 200 and left(seen) > 4000 - 2000):
                    assert watch.s < PATIENCE_S, "the hang-up was refunded"
                    seen = await client.post("/echo", json={"max_tokens": 0}, headers=headers)
