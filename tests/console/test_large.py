"""The console over an actor of 25,000 accounts: pages stay small, and take no longer than a person waits."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.console.driving import Reader, reading
from tests.support.large_actor import CARDS, END_NS, large_actor
from tests.support.time import stop_host

ACCOUNTS = 25_000
NEIGHBOURS = 100
ROUNDS = 6
PATHS = ("/", "/limits", "/limit?name=one%20actor", "/actors", "/took", "/audit", "/changes", "/week")


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return large_actor(tmp_path_factory.mktemp("large"), ACCOUNTS, NEIGHBOURS)


@pytest.fixture
def reader(large: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    stop_host(monkeypatch, END_NS)
    with reading(large) as found:
        yield found


def test_members_come_by_the_page(reader: Reader) -> None:
    actors = reader.get("/actors")
    assert f"{ACCOUNTS:,}" in actors.text
    page = reader.get(actors.link("/actor?id="))
    assert f"{ACCOUNTS:,} accounts" in page.text
    assert len(page.html) < 300_000
    assert page.html.count("<circle") == 500
    seen: set[str] = set()
    for number in (1, 2, 250):
        part = reader.get(f"{actors.link('/actor?id=')}&page={number}")
        rows = re.findall(r'data-key="([0-9a-f]{16})"', part.html)
        assert len(rows) == 100
        assert f"{number * 100 - 99:,} to {number * 100:,}; page {number:,} of 250" in part.text
        assert seen.isdisjoint(rows)
        seen.update(rows)
    assert reader.get(f"{actors.link('/actor?id=')}&page=9999").text.count("page 250 of 250") == 1
    export = reader.get(page.link("/members.csv")).html.splitlines()
    assert len(export) == ACCOUNTS + 1
    assert len({line[:16] for line in export[1:]}) == ACCOUNTS


def test_evidence_and_neighbours_of_all_members(reader: Reader) -> None:
    page = reader.get(reader.get("/actors").link("/actor?id="))
    evidence = page.html.partition('id="evidence"')[2].partition('id="members"')[0]
    cells = re.findall(
        r'payment <code>\w+</code></a></th><td class="n">([\d,]+)</td><td class="n">([\d,]+)', evidence
    )
    most, least = -(-ACCOUNTS // CARDS), ACCOUNTS // CARDS
    assert len(cells) == 40  # of each kind so many
    assert set(cells) <= {(f"{most:,}", "0"), (f"{least:,}", "0")}
    neighbours = page.html.partition("Neighbours</h2>")[2]
    assert neighbours.count("/person?who=") == NEIGHBOURS
    assert f"{8 * ACCOUNTS:,} requests in " in page.text


def test_pages_come_while_a_person_waits(reader: Reader, capsys: pytest.CaptureFixture[str]) -> None:
    """The bound is loose, as this machine may be busy; `-s` shows the times themselves."""
    actor = reader.get("/actors").link("/actor?id=")
    page = reader.get(actor)
    person = page.link("/person?who=account")
    payment, address = page.link("/person?who=payment"), page.link("/person?who=ip")
    network = reader.get(address).link("/person?who=network")
    times: dict[str, list[float]] = {}
    for number in range(ROUNDS):
        for path in (*PATHS, actor, f"{actor}&page={40 * number + 1}", person, payment, address, network):
            began = time.perf_counter()
            answer = reader.client.get(path)  # without reading the page, which is the browser's part
            assert answer.status_code == 200, path
            kind = path.partition("%3D")[0] if "who=" in path else path.partition("?")[0]
            times.setdefault(kind, []).append(time.perf_counter() - began)
    worst = {kind: sorted(taken)[int(0.95 * (len(taken) - 1))] for kind, taken in times.items()}
    with capsys.disabled():
        said = ", ".join(f"{kind} {1000 * taken:.0f}" for kind, taken in worst.items())
        print(f"\nms at p95 with {ACCOUNTS:,} accounts: {said}")
    assert max(worst.values()) < 5
