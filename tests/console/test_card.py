"""Pages about a payment method of a hundred thousand accounts, alone and beside another such one."""

from __future__ import annotations

import json
import random
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ratelimit import Limiter
from ratelimit.clustering.snapshot import SnapshotFile
from ratelimit.correlation import Correlator
from ratelimit.stores.embedded.board import snapshot_path
from tests.cli.running import run
from tests.console.driving import Reader, reading
from tests.support.acting import END_NS, START_NS
from tests.support.campaign import policy_text
from tests.support.time import HostClock, stop_host

ACCOUNTS = 100_000
EXITS = 400
ROUNDS = 5


@pytest.fixture(scope="module", params=["alone", "meeting"])
def policy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a policy whose correlator saw a card's accounts at homes, or two cards' at the same exits."""
    folder = tmp_path_factory.mktemp("card")
    path = folder / "policy.toml"
    store = f'memory = "{folder / "table"}"\nkeys = 5000'
    path.write_text(policy_text(store=store, principals=2 * ACCOUNTS, identifiers=6 * ACCOUNTS))
    limiter = Limiter(path, clock=HostClock(END_NS))
    bound = limiter.current
    spec, at = bound.compiled.correlation, {each.name: each.index for each in bound.compiled.identities}
    assert spec is not None
    correlator, source = Correlator(spec.settings, START_NS, spec.columns()), random.Random(1)
    cards = [bound.extractor.value_hash("payment", f"card-{number}") for number in range(2)]
    exits = [source.getrandbits(62) & ~1 for _ in range(EXITS)]
    meets = request.param == "meeting"
    for number in range(ACCOUNTS):
        account = source.getrandbits(62) & ~1
        row = [-1] * len(bound.extractor.anonymous)
        place = exits[number // 2 % EXITS] if meets else account ^ (1 << 40)
        row[at["account"]], row[at["payment"]] = account, cards[number % 2 if meets else 0]
        row[at["ip"]], row[at["network"]], row[at["block"]] = place, place ^ 2, place ^ 4
        correlator.observe(row, END_NS - 3600 * 10**9)
    for _ in correlator.rebuild(END_NS):
        pass
    assert limiter.store.place is not None
    file = SnapshotFile(snapshot_path(limiter.store.place), limiter.store.hasher.key)
    for _ in file.save(correlator, END_NS):
        pass
    file.put_in_place()
    limiter.close()
    return path


@pytest.fixture
def reader(policy: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    stop_host(monkeypatch, END_NS)
    with reading(policy) as found:
        yield found


def test_a_walk_from_a_card_comes_while_a_person_waits(
    reader: Reader, policy: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    """The bounds are loose, as this machine may be busy; `-s` shows the processor time itself."""
    card = reader.find("payment=card-0")
    assert "accounts of late; the 100 busiest" in card.text
    assert len(card.html) < 60_000
    walk = {"the card": str(card.url.raw_path, "ascii"), "an account": card.link("/person?who=account")}
    account = reader.get(walk["an account"])
    walk |= {f"its {kind}": account.link(f"/person?who={kind}") for kind in ("ip", "network", "block")}
    if "meeting" in request.node.name:
        assert "≥" in card.html.partition('id="meetings"')[2]  # so many are looked at
    times = {}
    for name, path in walk.items():
        taken = []
        for _ in range(ROUNDS):
            began = time.process_time()
            assert reader.client.get(path).status_code == 200
            taken.append(time.process_time() - began)
        times[name] = statistics.median(taken)
    began = time.process_time()
    told = json.loads(run("who", policy, "payment=card-0", "--json").stdout)
    times["who"] = time.process_time() - began
    assert told["account_count"] >= ACCOUNTS // 2
    assert len(told["accounts"]) == 100
    with capsys.disabled():
        said = ", ".join(f"{name} {1000 * taken:.0f}" for name, taken in times.items())
        print(f"\nms of processor time with {ACCOUNTS:,} accounts of one card: {said}")
    assert times.pop("who") < 5
    assert max(times.values()) < 2
