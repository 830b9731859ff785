"""A night on call: what goes wrong raises one alert and one event, and the runbook's command helps.

The alerts are those of docs/alerts.yml, evaluated by promtool over what the limiter's own metrics said
before and while it happened. What goes on while it lasts is drawn out: as much each half minute.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from ratelimit.limiter import Limiter
from ratelimit.stores.acts.act import Act
from ratelimit.telemetry import RateLimitCollector
from ratelimit.worker.acts import ActFollower
from ratelimit.worker.events.reporter import Reporter
from ratelimit.worker.events.watch import EventWatch
from tests.cli.running import run
from tests.deployment.containers import contained
from tests.support.acting import BOTS, END_NS, NS, START_NS, Actor
from tests.support.campaign import Request, campaign, policy_text
from tests.support.policy_lines import events_to
from tests.support.redis.sentinel import Sentinels
from tests.support.redis.server import Server
from tests.support.time import stop_host
from tests.telemetry.test_alert_rules import RULES, RUNBOOKS, STEPS, promtool

POLICY = """\
version = 1
events = ["file:{events}"]
[identities]
account = {{ from = "header:x-api-key" }}
[[limit]]
name = "requests"
per = "account"
rate = "1000/hour"
[store]
keys = 1000
memory = "{table}"
{url}
[hashing]
key = "00112233445566778899aabbccddeeff"
"""
ROOT = Path(__file__).parents[2]
Scrape = Mapping[tuple[str, str], tuple[str, float]]


def scrape(limiter: Limiter) -> Scrape:
    """Return what `/metrics` says: by name and labels, the kind and the value."""
    registry = CollectorRegistry()
    registry.register(RateLimitCollector(limiter))
    found = {}
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        for sample in family.samples:
            labels = {**sample.labels, "job": "api", "instance": "a"}
            written = ",".join(f'{name}="{value}"' for name, value in sorted(labels.items()))
            found[sample.name, written] = (family.type, sample.value)
    return found


def firing(before: Scrape, begun: Scrape, lasting: Scrape, folder: Path) -> list[str]:
    """Return the alerts that fire after 40 minutes of it."""
    series = []
    for (name, labels), (kind, last) in lasting.items():
        first = before.get((name, labels), (kind, 0.0))[1]
        middle = begun.get((name, labels), (kind, 0.0))[1]
        each = last - middle if kind in {"counter", "histogram"} else 0
        values = f"{first:.0f}x18 {last:.0f}+{max(each, 0):.0f}x{STEPS}"
        if kind == "gauge":
            values = f"{first}x18 {last}x{STEPS}"
        series.append({"series": f"{name}{{{labels}}}", "values": values})
    look = {"expr": 'ALERTS{alertstate="firing"}', "eval_time": "2850s", "exp_samples": []}
    test = {"interval": "30s", "input_series": series, "promql_expr_test": [look]}
    path = folder / "night.yml"
    path.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [test]}))
    ran = subprocess.run([promtool(), "test", "rules", path], capture_output=True, text=True, timeout=120)
    said = (ran.stdout + ran.stderr).replace("\\", "")
    assert ran.returncode == 0 or "got:" in said, said
    return sorted({part.split('"')[0] for part in said.partition("got:")[2].split('alertname="')[1:]})


class Night:
    """One worker, its watch, and what it told."""

    def __init__(self, limiter: Limiter, events: Path) -> None:
        self.limiter = limiter
        self._events = events
        self._reporter = Reporter(limiter.store.place, limiter.policy.file.events)
        self._watch = EventWatch(self._reporter)
        self.told()
        self.before = scrape(limiter)

    def told(self, log: Sequence[Act] = ()) -> list[dict[str, Any]]:
        """Look once, and return all events so far."""
        self._watch.look(self.limiter, log)
        self._reporter.wait_until_written()
        if not self._events.exists():
            return []
        return [json.loads(line) for line in self._events.read_text().splitlines()]

    def names(self) -> list[str]:
        return [each["event"] for each in self.told()]


def runbook(alert: str, command: str) -> None:
    """Hold that the alert's runbook names a command."""
    section = RUNBOOKS.split(f"\n## {alert}\n")[1].split("\n## ")[0]
    assert f"\n    ratelimit {command} policy.toml" in section


def policy_at(tmp_path: Path, url: str = "") -> Path:
    path = tmp_path / "policy.toml"
    written = f'url = "{url}"\nprefix = "night"' if url else ""
    path.write_text(POLICY.format(table=tmp_path / "table", url=written, events=tmp_path / "events.ndjson"))
    return path


def test_a_broken_policy(tmp_path: Path) -> None:
    path = policy_at(tmp_path)
    good = path.read_text()
    night = Night(Limiter(path), tmp_path / "events.ndjson")
    path.write_text(good.replace("1000/hour", "often"))
    night.limiter.reload()
    begun = scrape(night.limiter)
    assert firing(night.before, begun, scrape(night.limiter), tmp_path) == ["RatelimitPolicyRejected"]
    assert night.names() == ["policy-rejected"]
    runbook("RatelimitPolicyRejected", "check")
    result = run("check", path)
    assert result.exit_code == 1
    assert "often" in result.stderr
    path.write_text(good)
    night.limiter.reload()
    mended = scrape(night.limiter)
    assert firing(mended, mended, mended, tmp_path) == []
    night.limiter.close()


async def ask(limiter: Limiter, number: int) -> None:
    for _ in range(number):
        await limiter.adecide(identities={"account": "acct-17"}, client="203.0.113.9")
        limiter.store.heartbeat(limiter.now_ns())
        await asyncio.sleep(0)


async def outage(url: str, tmp_path: Path, begin: Callable[[], object], end: Callable[[], object]) -> None:
    path = policy_at(tmp_path, url)
    limiter = Limiter(path)
    await ask(limiter, 20)
    night = Night(limiter, tmp_path / "events.ndjson")
    begin()
    try:
        await wait(limiter, is_away=True)
        begun = scrape(limiter)
        await ask(limiter, 50)
        await later(limiter)
        fired = firing(night.before, begun, scrape(limiter), tmp_path)
        assert fired == ["RatelimitStoreAway"]
        assert night.names() == ["store-away"], [each["fields"] for each in night.told()]
        runbook("RatelimitStoreAway", "doctor")
        result = await asyncio.to_thread(run, "doctor", path)
        assert result.exit_code == 1, result.output
    finally:
        await asyncio.to_thread(end)
    await wait(limiter, is_away=False)
    assert night.names() == ["store-away", "store-back"]
    assert night.told()[-1]["fields"]["requests_charged_back"] >= 50
    await limiter.aclose_connections()
    limiter.close()


async def wait(limiter: Limiter, *, is_away: bool) -> None:
    async with asyncio.timeout(60):
        while bool(limiter.remote.get("is_away")) is not is_away:
            await ask(limiter, 1)


async def later(limiter: Limiter) -> None:
    """Let more than a second of the outage be counted."""
    first = scrape(limiter)
    async with asyncio.timeout(60):
        while True:
            await ask(limiter, 1)
            for key, (_, value) in scrape(limiter).items():
                if key[0] == "ratelimit_store_away_seconds_total" and value > first[key][1] + 1:
                    return


async def test_a_server_that_is_killed(server: Server, tmp_path: Path) -> None:
    await outage(server.url, tmp_path, server.kill, server.start)


@pytest.mark.usefixtures("brief_commands")
async def test_a_server_that_hangs(server: Server, tmp_path: Path) -> None:
    await outage(server.url, tmp_path, server.pause, server.resume)


async def test_a_server_that_fails_over(sentinels: Sentinels, tmp_path: Path) -> None:
    nodes = ",".join(f"{host}:{port}" for host, port in sentinels.addresses)
    killed = sentinels.master()
    await outage(
        f"redis+sentinel://{nodes}/{sentinels.name}/0",
        tmp_path,
        killed.kill,
        lambda: sentinels.elect(killed),
    )
    # The one that is left is the master, and has what was used before and meanwhile.
    result = await asyncio.to_thread(run, "doctor", tmp_path / "policy.toml")
    assert result.exit_code == 0, result.output


def test_shared_memory_that_is_full(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.night.full_memory", str(tmp_path)]
    ran = subprocess.run(
        contained(command, megabytes=32, folder=tmp_path),
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout.splitlines()[-1])
    assert told["alerts"] == ["RatelimitMisconfigured"]
    assert [(each["event"], each["code"]) for each in told["events"]] == [("self-check", "memory-full")]
    assert told["admitted"] == 1000  # limits go on
    runbook("RatelimitMisconfigured", "doctor")
    assert told["doctor"][0] == 1
    assert "/dev/shm/kinlimit-" in told["doctor"][1]
    assert told["after"][0] == 0, told["after"][1]


def test_a_campaign_and_a_wrong_exemption(tmp_path: Path, monkeypatch: Any) -> None:
    path, events = tmp_path / "policy.toml", tmp_path / "events.ndjson"
    store = f'memory = "{tmp_path / "table"}"\nkeys = 5000'
    path.write_text(events_to(policy_text(store=store, budget="50/day"), events))
    actor = Actor(path)
    night = Night(actor.limiter, events)
    actor.live(campaign())
    actor.rest_until(END_NS)
    begun = scrape(actor.limiter)
    later_s = (END_NS - START_NS) / 1e9
    attack = [Request(later_s, name, "", "", "192.0.2.1") for name in BOTS]
    actor.live(attack)
    actor.clock.set_ns(END_NS + 10 * NS)
    fired = firing(night.before, begun, scrape(actor.limiter), tmp_path)
    assert fired == ["RatelimitRefusingMuch"]
    assert night.names() == ["actor-found", "actor-contained"]
    runbook("RatelimitRefusingMuch", "show actors")
    assert actor.limiter.clustering is not None
    actor.limiter.clustering.resign(END_NS)  # which saves
    stop_host(monkeypatch, END_NS + 10 * NS)
    told = json.loads(run("show", "actors", path, "--json").stdout)
    assert [each["accounts"] for each in told["actors"]] == [60]
    # One of them is let be by mistake; the list says so, and undo takes it back.
    for command, is_exempt in (
        (("act", "exempt", path, "bot7", "--from", "limits", "--reason", "wrong account"), True),
        (("act", "undo", path, "1"), False),
    ):
        assert run(*command).exit_code == 0
        follower = ActFollower(actor.limiter.store.place)
        follower.look(actor.limiter)
        follower.resign()
        assert actor.decide(Request(later_s + 20, "bot7", "", "", "192.0.2.1")).allowed is is_exempt
        actor.clock.set_ns(END_NS + 10 * NS)
        night.told(follower.log)
    assert night.names()[2:] == ["act-made", "act-undone"]
    actor.limiter.close()
