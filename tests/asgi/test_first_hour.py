"""Messages of the first hour that were wrong or missing: the server's proxies, slots, files that go."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from ratelimit import Limiter, RateLimitMiddleware
from ratelimit.clock import ManualClock
from ratelimit.worker.upkeep import LOOKS, Upkeep
from tests.asgi.driver import Client, key, limit, mount, ok, rules

PRIVATE = '[store]\nmemory = "private"\n'


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    warned = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    return [each.rpartition("[")[2].rstrip("]") for each in warned]


@pytest.mark.parametrize("proxies", ["", 'proxies = ["127.0.0.1"]\n'])
@pytest.mark.parametrize("lists", ["", '[deny]\nip = ["198.51.100.0/24"]\n'])
async def test_server_that_reads_the_header_itself_raises_no_alarm(
    proxies: str, lists: str, caplog: pytest.LogCaptureFixture
) -> None:
    toml = rules(limit(per="ip", rate="1/minute"), identities="", more=proxies + lists)
    mounted = mount(toml)
    app = ProxyHeadersMiddleware(mounted.client.app, trusted_hosts="127.0.0.1")  # type: ignore[arg-type]
    client = Client(app)  # type: ignore[arg-type]
    statuses = []
    for address in (b"203.0.113.7", b"2001:db8::7", b"203.0.113.7"):
        answer = await client("GET", "/", [(b"x-forwarded-for", address)], peer="127.0.0.1")
        statuses.append(answer.status)
    assert statuses == [200, 200, 429], "clients behind the proxy are told apart"
    assert said(caplog) == []
    await mounted.client("GET", "/", [(b"x-forwarded-for", b"6.6.6.6")])
    assert said(caplog) == ["undeclared-proxy"]


@pytest.mark.parametrize("older", [False, True])
async def test_refusal_for_lack_of_a_slot_tells_one_wait(older: bool) -> None:
    inner = []

    async def app(scope: object, receive: object, send: object) -> None:
        inner.append(await client("GET", "/", key("a")))
        await ok(scope, receive, send)  # type: ignore[arg-type]

    more = 'headers = ["ratelimit", "x-ratelimit", "retry-after"]\n' if older else ""
    clock = ManualClock(1_700_000_000_000_000_000)
    client = mount(rules(limit("streams", rate="", concurrent=1), more=more), app, clock=clock).client
    assert (await client("GET", "/", key("a"))).headers["ratelimit"] == '"streams";r=0'
    refused = inner[0]
    assert (refused.status, refused.headers["retry-after"]) == (429, "1")
    assert refused.headers["ratelimit"] == '"streams";r=0'
    if older:
        assert refused.headers["x-ratelimit-reset"] == "1700000001"


def test_policy_that_becomes_readable_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(rules(limit(rate="3/minute"), more=PRIVATE))
    limiter = Limiter(path)
    written = path.stat()
    path.chmod(0o000)
    changed = limiter.reload_if_changed()
    assert changed is not None
    path.chmod(0o644)
    assert path.stat().st_mtime_ns == written.st_mtime_ns
    assert limiter.runtime.file.is_outdated
    mended = limiter.reload_if_changed()
    assert mended is not None
    assert mended.result == "unchanged"
    limiter.close()


def test_policy_that_is_deleted_is_said_and_one_that_is_replaced_is_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    path = tmp_path / "policy.toml"
    text = rules(limit(rate="3/minute"), more=PRIVATE)
    path.write_text(text)
    upkeep = Upkeep(RateLimitMiddleware(ok, policy=path).limiter, 2.0)
    for _ in range(3):
        path.unlink()
        for _ in range(LOOKS - 1):
            upkeep.tick()
        path.write_text(text)
        upkeep.tick()
    assert "policy-gone" not in said(caplog)
    path.unlink()
    for _ in range(3 * LOOKS):
        upkeep.tick()
    assert said(caplog).count("policy-gone") == 1
    message = caplog.records[-1].getMessage()
    assert message.startswith(f"`{path}` is not there any more")
