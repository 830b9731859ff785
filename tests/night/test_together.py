"""A hash of several identities that a limit counts together leads to it from any screen, on any host."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from ratelimit.cli.top import name_of
from ratelimit.inspection.hosts.moment import hosts_of
from tests.cli.running import run
from tests.console.driving import reading
from tests.night.test_customer import asked, told
from tests.night.two_hosts import Host, two_hosts
from tests.support.redis.patience import until
from tests.support.redis.server import Server


@pytest.fixture
def hosts(server: Server, tmp_path: Path) -> Iterator[tuple[Host, Host]]:
    server.client.flushall()
    with two_hosts(tmp_path, server.url) as (here, there):
        until(lambda: len(told(here, "acts")["hosts"]) == 2, "both hosts")
        yield here, there


ACTS: tuple[tuple[list[str], list[str]], ...] = (
    (["stop"], []),
    (["exempt"], ["--from", "limits"]),
    (["clear"], []),
    (["merge"], ["c-6"]),
    (["budget", "set"], ["requests=5"]),
)


@pytest.mark.parametrize(
    ("path", "limit", "per"), [("/pair", "pair", "account + ip"), ("/all", "all", "everyone")]
)
def test_hash_of_a_counter_leads_to_its_limit_on_every_host(
    hosts: tuple[Host, Host], path: str, limit: str, per: str
) -> None:
    here, there = hosts
    assert asyncio.run(asked(there, path)) == [200, 200, 429, 429, 429]
    (shown,) = [each for each in told(here, "top")["callers"] if each["limit"] == limit]
    assert (shown["per"], shown["refused"]) == (per, 3)
    pasted = [[shown["hash"]], [shown["hash"][:8]], [f"hash:{shown['hash'][:8]}"]]
    pasted.append([*per.split(), shown["hash"][:8]])  # the line as screens have it
    for host in hosts:
        for words in pasted:
            found = told(host, "who", *words)
            (left,) = [each for each in found["limits"] if each["limit"] == limit]
            assert (left["limit"], left["remaining"], left["of"], left["refuses"]) == (limit, 0, 2, True)
            ((name, refused),) = [(each["limit"], each["refused"]) for each in found["refused"]]
            assert (name, refused) == (limit, 3)
        said = run("who", host.path, shown["hash"][:8]).output
        assert f"{per} {shown['hash'][:8]}" in said
        with reading(host.path) as pages:
            page = pages.find(shown["hash"][:8])
            assert f"{per} {shown['hash'][:8]}" in page.text
            assert "0 of 2" in page.text
            assert pages.get(pages.get(f"/limit?name={limit}").link("/person?who=hash"), 200).text.count(
                "0 of 2"
            )
            assert not [form for form in page.forms if "Stop" in form.words or "Exempt" in form.words]
        with hosts_of(host.limiter.policy) as looking:
            (caller,) = [each for each in looking.look().callers if each.limit == limit]
        for written in (shown["hash"][:8], name_of(caller)):
            for command, more in ACTS:
                result = run("act", *command, host.path, written, *more)
                assert result.exit_code == 2, result.output
                assert f"`{limit}`" in result.stderr
