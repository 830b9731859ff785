"""A burst of streams over a token budget: how far over it gets, and what its clients see.

Without options it starts examples/llm-api. With `--base-url http://127.0.0.1:4000 --key sk-1` it asks another
gateway, and with `--mock 8900` it serves the mock for one to stand before.

A burst asks for long answers in streams: before anything was learned of the route, with a maximum
declared, without one, and in Anthropic's form. Each is an account with a budget of its own. One word of
the mock is one token, so the client counts what was served. Of this tree's example it also says which
limit `ratelimit explain` names for one answer more.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import httpx

from tests.support.redis.port import free_port

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "llm-api"
ROUTES = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}
PACE = "2000"
"""Tokens a second that the mock says of one answer."""
START_S = 30.0
SLOWEST_S = 240.0
OPEN = """\
version = 1
[identities]
account = { from = "state:account" }
[[limit]]
name = "everything"
per = []
rate = "1000000/second"
"""
"""The policy of the mock by itself."""


@dataclass
class Burst:
    """What became of many requests at once."""

    served: int = 0
    """Tokens that clients got."""
    ends: Counter[str] = field(default_factory=Counter)
    unreadable: int = 0
    """Errors that the client's library could not have read."""
    waits: int = 0
    """Refusals that say when to come back."""
    seconds: float = 0.0


async def burst(
    base: str, key: str, model: str, *, count: int, tokens: int, most: int | None, form: str = "openai"
) -> Burst:
    """Send requests at once, each for an answer of so many tokens; return what came of them.

    Args:
        base: where the gateway is.
        key: of the account.
        model: that is asked.
        count: requests.
        tokens: that each asks for.
        most: the maximum that each declares; None: it declares none.
        form: of the client that asks, "openai" or "anthropic".
    """
    found = Burst()
    body: dict[str, Any] = {
        "model": model,
        "stream": True,
        "messages": [{"role": "user", "content": f"a story in {tokens} words"}],
    }
    if form == "openai":
        body["stream_options"] = {"include_usage": True}
    if most is not None:
        body["max_tokens"] = most
    headers = {"authorization": f"Bearer {key}", "x-api-key": key}
    limits = httpx.Limits(max_connections=count)
    began = time.monotonic()
    async with httpx.AsyncClient(base_url=base, limits=limits, timeout=SLOWEST_S, headers=headers) as client:
        await asyncio.gather(*(_ask(client, ROUTES[form], body, form, found) for _ in range(count)))
    found.seconds = time.monotonic() - began
    return found


async def _ask(client: httpx.AsyncClient, route: str, body: dict[str, Any], form: str, found: Burst) -> None:
    try:
        async with client.stream("POST", route, json=body) as response:
            if response.status_code != 200:
                said = await response.aread()
                found.ends[str(response.status_code)] += 1
                found.unreadable += not _is_error(said, form)
                found.waits += "retry-after" in response.headers
                return
            end = "broken off"
            async for line in response.aiter_lines():
                if not line.startswith("data:"):
                    continue
                text = line[5:].strip()
                if text == "[DONE]":
                    end = "finished"
                    continue
                event = json.loads(text)
                if "error" in event:
                    end = "cut"
                    found.unreadable += not _is_error(text.encode(), form)
                elif event.get("type") == "message_stop":
                    end = "finished"
                found.served += len(_words(event).split())
            found.ends[end] += 1
    except (httpx.HTTPError, ValueError) as error:
        found.ends[type(error).__name__] += 1


def _words(event: dict[str, Any]) -> str:
    if event.get("choices"):
        return event["choices"][0].get("delta", {}).get("content") or ""
    delta = event.get("delta")
    return delta.get("text", "") if isinstance(delta, dict) else ""


def _is_error(said: bytes, form: str) -> bool:
    """Return whether a client of the form's provider finds type and message."""
    try:
        document = json.loads(said)
        error = document["error"]
        has_words = isinstance(error["message"], str) and bool(error["message"]) and bool(error["type"])
        return has_words and (form == "openai" or document["type"] == "error")
    except (ValueError, KeyError, TypeError):
        return False


@contextmanager
def serving(folder: Path, port: int, policy: str) -> Iterator[str]:
    """Serve the example by two workers of uvicorn; yield its address.

    Args:
        folder: for the policy, the accounts, the store and the log.
        port: on loopback.
        policy: the text.
    """
    path, known = folder / "policy.toml", folder / "accounts.json"
    path.write_text(f'{policy}\n[store]\nmemory = "{folder / "store"}"\n')
    accounts = {
        f"sk-{name}": {
            "account": f"acct-{name}",
            "organisation": f"org-{name}",
            "plan": "enterprise",
            "payment": f"pm-{name}",
            "age_days": 900,
        }
        for name in ("first", "teacher", "declared", "undeclared", "anthropic", "any")
    }
    known.write_text(json.dumps(accounts))
    environment = {
        **os.environ,
        "LLM_API_POLICY": str(path),
        "LLM_API_ACCOUNTS": str(known),
        "MOCK_TOKENS_PER_S": PACE,
    }
    command = [sys.executable, "-m", "uvicorn", "--app-dir", str(EXAMPLE), "app:app", "--workers", "2"]
    command += ["--port", str(port), "--log-level", "warning", "--backlog", "4096"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        base = f"http://127.0.0.1:{port}"
        _started(base, process)
        yield base
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def _started(base: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            httpx.get(f"{base}/metrics/", timeout=2)
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return
    raise click.ClickException("the example did not start; it needs fastapi and uvicorn")


def explained(policy: Path, account: str, tokens: int) -> list[str]:
    """Return the limits that `ratelimit explain` names as refusing an account one answer more."""
    facts = f"account={account} plan=enterprise ip=127.0.0.1 output_tokens={tokens}"
    request = f"POST /v1/chat/completions {facts}"
    command = [sys.executable, "-m", "ratelimit.cli.main", "explain", str(policy), "--live", "-r", request]
    said = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True, timeout=60)
    limits = json.loads(said.stdout)["limits"]
    return [limit["limit"] for limit in limits if limit["applies"] and not limit["allowed"]]


def _told(name: str, one: Burst, budget: int) -> None:
    share = one.served / budget
    ends = ", ".join(f"{count} {end}" for end, count in sorted(one.ends.items()))
    click.echo(
        f"{name}: {one.served:,} tokens served, {share:.2f} of the budget; {ends}; {one.seconds:.0f} s"
    )
    refused = sum(count for end, count in one.ends.items() if end.isdecimal())
    click.echo(f"  {one.unreadable} errors unreadable, {one.waits} of {refused} refusals with Retry-After")


async def _example(base: str, folder: Path, count: int, tokens: int, budget: int) -> None:
    async def ask(name: str, most: int | None, form: str = "openai") -> None:
        one = await burst(base, f"sk-{name}", "mock-small", count=count, tokens=tokens, most=most, form=form)
        _told(name, one, budget)
        limits = explained(folder / "policy.toml", f"acct-{name}", tokens)
        click.echo(f"  ratelimit explain: {', '.join(limits) or 'has room'}")

    await ask("first", None)
    # What answers use is learned: 50 requests of another account, a few at a time, within its budget.
    for _ in range(10):
        await burst(base, "sk-teacher", "mock-small", count=5, tokens=tokens, most=None)
    await ask("declared", tokens)
    await ask("undeclared", None)
    await ask("anthropic", tokens, "anthropic")


@click.command()
@click.option("--base-url", help="Another gateway; the example of this tree when not given.")
@click.option("--key", default="sk-any", help="Its API key.")
@click.option("--model", default="mock-small", help="The model that it is asked for.")
@click.option("--requests", "count", default=500, type=click.IntRange(1, 2000))
@click.option("--tokens", default=2000, type=click.IntRange(1, 4096), help="That each request asks for.")
@click.option("--budget", default=100_000, help="What the gateway is set to.")
@click.option("--declare/--no-declare", default=True, help="Of another gateway: whether maxima are declared.")
@click.option("--mock", "mock_port", type=int, help="Serve the mock without limits on this port until ended.")
def main(
    base_url: str | None,
    key: str,
    model: str,
    count: int,
    tokens: int,
    budget: int,
    declare: bool,
    mock_port: int | None,
) -> None:
    """Send bursts and say what was served."""
    if base_url is not None:
        most = tokens if declare else None
        one = asyncio.run(burst(base_url, key, model, count=count, tokens=tokens, most=most))
        _told("declared" if declare else "undeclared", one, budget)
        return
    folder = Path(tempfile.mkdtemp(prefix="ratelimit-llm-"))
    try:
        if mock_port is not None:
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
            with serving(folder, mock_port, OPEN):
                signal.pause()
            return
        policy = (EXAMPLE / "app-policy.toml").read_text("utf-8")
        with serving(folder, free_port(), policy) as base:
            asyncio.run(_example(base, folder, count, tokens, budget))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
