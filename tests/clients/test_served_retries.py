"""The same clients over real sockets, before two workers of uvicorn that share one limit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from ratelimit import Limiter
from ratelimit.conduct.stage import conduct_of
from tests.servers.serving import serving

POLICY = """
version = 1
[store]
memory = "{table}"
[identities]
account = {{ from = ["header:authorization", "header:x-api-key"] }}
[[limit]]
name = "requests"
match = "/v1/*"
per = "account"
rate = "60/minute"
burst = 4
adaptive = true
"""
MESSAGES: Any = [{"role": "user", "content": "hi"}]
TASKS, CALLS = 4, 5
"""As many calls at once as the burst has room for, and each task has a few: they outrun a call a second."""


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_clients_retries_over_a_real_server_never_strike(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(POLICY.format(table=tmp_path / "table"))
    with serving("uvicorn", path, workers=2, app="tests.clients.application:app") as port:
        outcomes = asyncio.run(_called(kind, f"http://127.0.0.1:{port}"))
    limiter = Limiter(path)  # the host's memory is still there
    conduct = conduct_of(limiter.current)
    assert conduct is not None
    strikes = sum(conduct.strikes())
    limiter.close()
    assert strikes == 0
    assert 4 <= outcomes.count("answered") < TASKS * CALLS  # the burst was there, and then it was not
    assert set(outcomes) == {"answered", "refused"}


async def _called(kind: str, url: str) -> list[str]:
    create, close = _client(kind, url)

    async def work() -> list[str]:
        outcomes = []
        for _ in range(CALLS):
            try:
                await create()
            except (openai.RateLimitError, anthropic.RateLimitError):
                outcomes.append("refused")
            else:
                outcomes.append("answered")
        return outcomes

    found = await asyncio.gather(*(work() for _ in range(TASKS)))
    await close()
    return [outcome for each in found for outcome in each]


def _client(kind: str, url: str) -> tuple[Callable[[], Awaitable[Any]], Callable[[], Awaitable[None]]]:
    if kind == "openai":
        chat = openai.AsyncOpenAI(api_key="a", base_url=f"{url}/v1", max_retries=1)
        return lambda: chat.chat.completions.create(model="m", messages=MESSAGES), chat.close
    claude = anthropic.AsyncAnthropic(api_key="a", base_url=url, max_retries=1)
    return lambda: claude.messages.create(model="m", max_tokens=9, messages=MESSAGES), claude.close
