"""Mistakes that people make are said once, in words, and counted."""

from __future__ import annotations

import logging
import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from ratelimit import Limiter, Policy, PolicyError, RateLimitMiddleware
from ratelimit.clock import ManualClock
from ratelimit.environment.diagnoses import DIAGNOSES
from ratelimit.errors import StoreError
from ratelimit.events import NullObserver
from ratelimit.worker.diagnostics import MOST_WORDS, LoggingObserver
from ratelimit.worker.siblings import several_workers
from tests.asgi.driver import Client, key, limit, mount, ok, rules

PER_IP = rules(limit(per="ip", rate="100/minute"), identities="")


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage().rpartition("[")[2].rstrip("]")
        for record in caplog.records
        if record.name == "ratelimit"
        and record.levelno == logging.WARNING
        and "[limit-invented]" not in record.getMessage()  # most policies here count by a key alone
    ]


def test_file_that_can_be_used_again_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(good := rules(limit(), more='[store]\nmemory = "private"\n'))
    caplog.set_level(logging.INFO, "ratelimit")
    limiter = Limiter(file)
    limiter.runtime.observer = LoggingObserver()
    told = []
    for text in (good, "nonsense", good, good, good.replace("minute", "hour")):
        file.write_text(text)
        caplog.clear()
        limiter.reload()
        told.append([record.getMessage()[:40] for record in caplog.records])
    limiter.close()
    assert told[0] == told[3] == []
    assert told[1] == ["the policy file was not put in force, th"]
    assert told[2] == ["the policy file can be used again; it sh"]
    assert told[4] == ["the policy was reloaded"]


async def test_undeclared_proxy_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    client = mount(PER_IP).client
    for number in range(3):
        await client(headers=[(b"x-forwarded-for", b"6.6.6.6")], peer=f"198.51.100.{number}")
    assert said(caplog) == ["undeclared-proxy"]
    # Nothing a client sent is in the words.
    assert "6.6.6.6" not in caplog.text
    assert "198.51.100" not in caplog.text


def test_trusting_every_hop_is_refused_at_the_start() -> None:
    with pytest.raises(PolicyError) as caught:
        mount(rules(limit(per="ip"), more='proxies = ["0.0.0.0/0"]'))
    assert caught.value.code == "trust-everyone"


async def test_missing_client_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    await mount(PER_IP).client.statuses(3, peer=None)
    assert said(caplog) == ["client-missing"]


async def test_middleware_mounted_twice_charges_once_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    mounted = mount(rules(limit(rate="2/minute")))
    twice = Client(
        RateLimitMiddleware(mounted.middleware, limiter=mounted.middleware.limiter, reload_interval_s=0)
    )
    answers = [await twice(headers=key("a")) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert said(caplog) == ["mounted-twice"]
    # `Answer.headers` also insists that no field came twice.
    assert answers[0].headers["ratelimit"] == '"requests";r=1;t=30'


async def test_two_files_of_one_policy_are_one_mount(tmp_path: Any, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(rules(limit(rate="2/minute"), more='[store]\nmemory = "private"'))
    inner = mount("", policy=path).middleware
    outer = mount("", inner, policy=str(path)).client
    assert await outer.statuses(3, headers=key("a")) == [200, 200, 429]
    assert said(caplog) == ["mounted-twice"]


async def test_two_policies_around_one_application_both_count_and_both_settle() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["ratelimit"].settle(tokens=7)
        await ok(scope, receive, send)

    inner = mount(rules(limit("inner", unit="tokens", rate="10/hour", algorithm="fixed-window")), app)
    outer = mount(
        rules(limit("outer", unit="tokens", rate="20/hour", algorithm="fixed-window")), inner.middleware
    )
    assert (await outer.client(headers=key("a"))).status == 200
    left = [
        mounted.middleware.limiter.peek(identities={"account": "a"}).verdicts[0].remaining
        for mounted in (inner, outer)
    ]
    assert left == [3, 13]


async def test_private_memory_under_several_workers_is_said(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", "4")
    await mount(PER_IP).client()
    assert said(caplog) == ["private-memory"]


@pytest.mark.parametrize(
    ("concurrency", "expected"), [("4", True), ("1", False), ("", False), ("many", False), ("-3", False)]
)
def test_several_workers_by_environment(
    concurrency: str, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", concurrency)
    assert several_workers() is expected


@pytest.mark.parametrize(
    ("arguments", "variable", "expected"),
    [
        ("-w 4 app:app", "", True),
        ("-w4 app:app", "", True),
        ("--workers=2 app:app", "", True),
        ("--workers 1 app:app", "-w 3", False),
        ("app:app", "--workers 3", True),
        ("app:app", "", False),
        ("app:app -w", "", False),
    ],
)
def test_several_workers_of_gunicorn(
    arguments: str, variable: str, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WEB_CONCURRENCY", raising=False)
    monkeypatch.setenv("SERVER_SOFTWARE", "gunicorn/23.0.0")
    monkeypatch.setenv("GUNICORN_CMD_ARGS", variable)
    monkeypatch.setattr("sys.argv", ["gunicorn", *arguments.split()])
    assert several_workers() is expected
    monkeypatch.delenv("SERVER_SOFTWARE")
    assert not several_workers()


@pytest.mark.parametrize(
    ("settings", "command", "expected"),
    [
        ("bind = ':8000'\nworkers = 4\n", "gunicorn app:app", True),
        ("workers = 1\n", "gunicorn app:app", False),
        ("bind = ':8000'\n", "gunicorn app:app", False),
        ("import os\nworkers = os.cpu_count() * 2 + 1\n", "gunicorn app:app", True),
        ("workers = 4\n", "gunicorn -w 1 app:app", False),
        ("workers = [\n", "gunicorn app:app", False),
        ("workers = 4\n", "gunicorn -c nowhere.py app:app", False),
    ],
)
def test_several_workers_by_the_settings_file_of_gunicorn(
    settings: str, command: str, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("multiprocessing.parent_process", lambda: None)
    for name in ("WEB_CONCURRENCY", "GUNICORN_CMD_ARGS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SERVER_SOFTWARE", "gunicorn/23.0.0")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gunicorn.conf.py").write_text(settings)
    monkeypatch.setattr("sys.argv", command.split())
    assert several_workers() is expected
    (tmp_path / "gunicorn.conf.py").rename(tmp_path / "other.py")
    for option in ("-c other.py", "-cother.py", "--config=other.py", "--config file:other.py"):
        monkeypatch.setattr("sys.argv", command.replace("gunicorn ", f"gunicorn {option} ").split())
        if "nowhere" not in command:
            assert several_workers() is expected, option


def test_several_workers_by_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WEB_CONCURRENCY", raising=False)
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: object())
    assert several_workers()


async def test_diagnosis_is_counted_and_passed_on() -> None:
    seen: list[tuple[str, str]] = []

    class Watching:
        def diagnosed(self, code: str, message: str) -> None:
            seen.append((code, message))

    mounted = mount(PER_IP, observer=Watching())
    await mounted.client.statuses(2, peer=None)
    assert seen == [("client-missing", DIAGNOSES["client-missing"])]


async def test_limiter_of_one_s_own_is_not_silent(caplog: pytest.LogCaptureFixture, tmp_path: Any) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(
        rules(
            limit(per="ip"),
            limit("keyed"),
            identities='account = { from = "header:x-api-key", missing = "shared" }',
            more='[store]\nmemory = "private"',
        )
    )
    limiter = Limiter(path, clock=ManualClock())
    for _ in range(2):  # mounted by two applications, it is still said once
        await Client(RateLimitMiddleware(ok, limiter=limiter, reload_interval_s=0))(peer=None)
    assert caplog.text.count("identity-shared") == 1
    assert said(caplog).count("client-missing") == 1
    path.write_text("version = 1\nlimits = 3")
    limiter.reload()
    assert f"{path}:2" in caplog.text


async def test_limiter_s_own_observer_is_told_as_well(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[str] = []

    class Watching(NullObserver):
        def diagnosed(self, code: str, message: str) -> None:
            seen.append(code)

    limiter = Limiter(Policy.from_toml(PER_IP), clock=ManualClock(), observer=Watching())
    await Client(RateLimitMiddleware(ok, limiter=limiter, reload_interval_s=0))(peer=None)
    assert seen == said(caplog) == ["client-missing"]


def test_warnings_of_a_policy_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    mount(rules(limit(), identities='account = { from = "header:x-api-key", missing = "shared" }'))
    assert "identity-shared" in caplog.text


def test_failures_of_a_store_are_said_when_they_change_and_now_and_then(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = ManualClock()
    observer = LoggingObserver(clock=clock)
    slow, refused = StoreError("no answer", code="redis-away"), StoreError("NOPERM", code="redis-away")
    for error in (slow, slow, refused, slow, refused):
        observer.store_failed(error)
    assert len(caplog.records) == 2
    assert "NOPERM" in caplog.text
    clock.advance(599)
    observer.store_failed(refused)
    assert len(caplog.records) == 2
    clock.advance(1)
    observer.store_failed(refused)
    observer.store_failed(refused)
    assert len(caplog.records) == 3
    for number in range(10_000):  # as no store has them: it is the memory that has to be bounded
        observer.store_failed(StoreError(f"words {number}", code="redis-away"))
    assert len(observer._store_failed) <= MOST_WORDS
