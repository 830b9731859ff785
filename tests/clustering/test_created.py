"""Creation times of accounts, on every way to the correlator: ring, streams, traces, requests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit import Policy
from ratelimit.clock import ManualClock
from ratelimit.clustering.declarations import principal_key
from ratelimit.core.clusters.reasons import reasons
from ratelimit.core.clusters.sighting import Columns
from ratelimit.core.sharing.bundle import Bundle, sightings_in, unpack
from ratelimit.core.sharing.ring import Ring
from ratelimit.correlation import Correlator
from ratelimit.correlation.memory import transplant
from ratelimit.lab.replay import Replay
from ratelimit.lab.traces import open_reader
from ratelimit.stores.factory import private_store
from tests.asgi.driver import Client
from tests.clustering.test_middleware import Mounted
from tests.support.acting import START_NS
from tests.support.boards import board, correlator, row
from tests.support.campaign import policy_text
from tests.support.rule import EPOCH

SECOND = 10**9
NOW_S = EPOCH // SECOND
COLUMNS = Columns((0,), (1, 2, 3, 4, -1, -1, -1, 5), 6)
AT = 6


def seen(account: int, created: int) -> list[int]:
    """Return a row that says when its account was created."""
    found = row(account)
    found.insert(AT, created)
    return found


def created_s(one: Correlator, key: int) -> int:
    """Return when an account was created, as far as a correlator knows; 0 for not known."""
    found = reasons(one.core, key)
    return 0 if found is None else int(found["created_s"])


def known() -> Correlator:
    one = correlator()
    return Correlator(one.settings, EPOCH, COLUMNS)


@given(
    st.lists(
        st.tuples(
            st.integers(1, 4),
            st.sampled_from([-1, 0, 1, 77, NOW_S - 5, NOW_S + 999, 2**32 - 1, 2**32, 2**63]),
        )
    )
)
def test_the_least_ever_given_stands_on_every_way(given_: list[tuple[int, int]]) -> None:
    ring, bundle = Ring(board(sightings=1024), COLUMNS), Bundle(256)
    direct, travelled, here = known(), known(), known()
    for account, created in given_:
        direct.observe(seen(account, created), EPOCH)
        assert ring.put(seen(account, created), EPOCH)
    assert bundle.drain(ring, 10_000, EPOCH) == len(given_)
    records = bundle.pack()
    assert sightings_in(records) == len(given_)
    assert unpack(records, travelled.core, NOW_S) == len(given_)
    for account, created in given_:
        ring.put(seen(account, created), EPOCH)
    ring.drain(here.core, 10_000, EPOCH)
    for account in range(1, 5):
        said = [created for who, created in given_ if who == account and 0 < created < 2**32]
        expected = min([*said, NOW_S]) if said else 0
        assert [created_s(one, account) for one in (direct, travelled, here)] == [expected] * 3


def test_cut_records_are_refused_with_it_too() -> None:
    ring, bundle = Ring(board(), COLUMNS), Bundle(4)
    ring.put(seen(1, 77), EPOCH)
    bundle.drain(ring, 10, EPOCH)
    records = bundle.pack()
    for size in range(1, len(records)):
        with pytest.raises(ValueError, match="cut short"):
            sightings_in(records[:size])


def test_it_and_the_verdict_outlive_a_restart() -> None:
    old, new = known(), known()
    old.observe(seen(1, 77), EPOCH)
    old.core.set_inferred(1, 1)
    for _ in transplant(old, new):
        pass
    assert created_s(new, 1) == 77


def test_columns_have_a_place_for_it_or_none() -> None:
    assert (COLUMNS.created_at, COLUMNS.highest) == (AT, AT)
    with pytest.raises(ValueError, match="-1 is for none"):
        Columns((0,), (-1,) * 8, -2)


def policy(created: str) -> str:
    return policy_text().replace('client = "client"\n', f'client = "client"\ncreated = "{created}"\n', 1)


@pytest.mark.parametrize(
    ("created", "headers", "state"),
    [
        ("header:x-since", [(b"x-since", b"1700000000")], {}),
        ("state:since", [], {"since": 1_700_000_000}),
        ("resolver:since", [], {"since": 1_700_000_000}),
    ],
)
async def test_middleware_passes_it_on(
    created: str, headers: list[tuple[bytes, bytes]], state: dict[str, Any]
) -> None:
    mounted = Mounted(policy(created), resolvers={"since": lambda scope: scope["state"]["since"]})
    client = Client(mounted.middleware)
    await client("GET", "/v1/x", [(b"x-api-key", b"a"), *headers], state=state)
    mounted.tick()
    assert created_of(mounted, "a") == 1_700_000_000


def created_of(mounted: Mounted, account: str) -> int:
    limiter = mounted.limiter
    compiled = limiter.current.compiled
    assert compiled.correlation is not None
    key = principal_key(compiled.correlation, compiled.identities, limiter.current.extractor, (account,))
    assert limiter.clustering is not None
    leader = limiter.clustering._leader
    assert leader is not None
    assert leader.correlator is not None
    assert key is not None
    return created_s(leader.correlator, key)


TRACE: list[tuple[str, int]] = [
    ("1700000000", 1_700_000_000),
    ("1700000000.5", 1_700_000_000),
    ('"1700000000"', 1_700_000_000),
    ("null", 0),
    ("0", 0),
    ("-5", 0),
    ("1700000000000", 0),
    ("1e300", 0),
    ("100000000000000000000000000", 0),
    ('"yesterday"', 0),
    ("true", 0),
    ("[1]", 0),
    ("{}", 0),
    ("4000000000", START_NS // SECOND),  # in the future
]


@pytest.mark.parametrize("way", ["columns", "rows"])
@pytest.mark.parametrize("source", ["state:since", "header:x-since"])
def test_traces_have_it_as_account_created_and_garbage_loses_no_line(
    tmp_path: Path, way: str, source: str
) -> None:
    text = policy(source)
    if way == "rows":
        text += '[allow]\naccount = ["somebody"]\n'
    loaded = Policy.from_toml(text)
    path = tmp_path / "trace.ndjson"
    path.write_text(
        "".join(
            f'{{"time": {START_NS // SECOND}, "method": "GET", "path": "/v1/x", "ip": "192.0.2.1", '
            f'"account": "a{number}", "account_created": {written}}}\n'
            for number, (written, _) in enumerate(TRACE)
        )
    )
    replay = Replay(loaded.compiled, lambda now_ns: private_store(loaded, ManualClock(now_ns)))
    for batch in open_reader(str(path), replay.fields):
        replay.take(batch)
    assert replay.requests == len(TRACE)
    assert replay.actors is not None
    spec = loaded.compiled.correlation
    assert spec is not None
    extractor = replay.bound.extractor
    found = []
    for number in range(len(TRACE)):
        key = principal_key(spec, loaded.compiled.identities, extractor, (f"a{number}",))
        assert key is not None
        found.append(created_s(replay.actors.correlator, key))
    assert found == [expected for _, expected in TRACE]
    replay.close()


def test_header_of_a_trace_says_it_where_nothing_else_does(tmp_path: Path) -> None:
    loaded = Policy.from_toml(policy("header:x-since"))
    line = {"time": START_NS // SECOND, "method": "GET", "path": "/v1/x", "ip": "192.0.2.1", "account": "a"}
    path = tmp_path / "trace.ndjson"
    path.write_text(
        json.dumps({**line, "headers": {"X-Since": "1700000000"}}) + "\n" + json.dumps(line) + "\n"
    )
    replay = Replay(loaded.compiled, lambda now_ns: private_store(loaded, ManualClock(now_ns)))
    for batch in open_reader(str(path), replay.fields):
        replay.take(batch)
    spec = loaded.compiled.correlation
    assert spec is not None
    assert replay.actors is not None
    key = principal_key(spec, loaded.compiled.identities, replay.bound.extractor, ("a",))
    assert key is not None
    assert created_s(replay.actors.correlator, key) == 1_700_000_000
    replay.close()


def test_identity_of_the_traces_name_is_both(tmp_path: Path) -> None:
    text = policy("state:since").replace(
        "[identities]", '[identities]\naccount_created = { from = "header:x-y" }', 1
    )
    text += '[[limit]]\nname = "more"\nper = "account_created"\nrate = "5/day"\n'
    loaded = Policy.from_toml(text)
    replay = Replay(loaded.compiled, lambda now_ns: private_store(loaded, ManualClock(now_ns)))
    path = tmp_path / "trace.ndjson"
    path.write_text('{"time": 1, "method": "GET", "path": "/v1/x", "ip": "::1", "account_created": 5.5}\n')
    for batch in open_reader(str(path), replay.fields):
        replay.take(batch)
    assert replay.requests == 1
    replay.close()
