"""The demo's mock: what its answers say, and what they are charged."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest

from ratelimit.demo.api import create
from ratelimit.demo.run import policy_path


async def test_answers_say_what_they_used_and_are_charged_that(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    policy = tmp_path / "policy.toml"
    # A day, so that nothing comes back meanwhile.
    text = policy_path().read_text().replace('"6000/minute"', '"2000/day"')
    text = text.replace('"tuning.toml"', f'"{policy_path().with_name("tuning.toml")}"')
    policy.write_text(text + '\n[store]\nmemory = "private"\n')
    monkeypatch.setenv("RATELIMIT_DEMO_POLICY", str(policy))
    monkeypatch.setattr("ratelimit.demo.api.STREAM_S", 0.01)
    transport = httpx.ASGITransport(app=create(), client=("127.0.0.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8429") as client:
        for asked in ({"max_tokens": 300}, {"max_tokens": 300, "stream": True}, {"stream": True}, {}):
            answer = await client.post(
                "/v1/chat/completions", headers={"x-api-key": "me"}, json={"messages": [], **asked}
            )
            assert answer.status_code == 200
            assert '"completion_tokens"' in answer.text.replace(" ", "")
        last = await client.post("/v1/chat/completions", headers={"x-api-key": "me"}, json={"max_tokens": 1})
        found = re.search(r'"output tokens";r=(\d+)', last.headers["ratelimit"])
        assert found is not None
        assert int(found[1]) == 2000 - 300 - 300 - 64 - 64 - 1
