"""Reloads: what they change, and what becomes of the counters."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ratelimit.policy import Policy
from ratelimit.policy.change import diff, fingerprint
from ratelimit.policy.compile.compiled import CompiledPolicy

BASE: dict[str, Any] = {"name": "l", "per": "account", "rate": "10/minute", "match": "/a"}


def compiled(*limits: dict[str, Any], **tables: Any) -> Any:
    identities = {"account": {"from": "header:x"}, "plan": {"from": "state:plan", "missing": "skip"}}
    tree = {"version": 1, "identities": identities, "limit": list(limits), **tables}
    return Policy.from_mapping(tree).compiled


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(one.kind, one.subject, one.counters) for one in diff(compiled(before), compiled(after))]


def test_nothing_changed_is_nothing_said() -> None:
    assert changes(BASE, dict(BASE)) == []


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ({"rate": "20/minute"}, [("raised", "l", "kept")]),
        ({"rate": "5/minute"}, [("lowered", "l", "kept")]),
        ({"burst": 3}, [("lowered", "l", "kept")]),
        ({"rate": "20/minute", "burst": 3}, [("changed", "l", "kept")]),
        ({"match": "/b"}, [("changed", "l", "kept")]),
        ({"mode": "shadow"}, [("changed", "l", "kept")]),
        ({"rate": "10/hour"}, [("added", "l", "fresh"), ("removed", "l", "dropped")]),
        ({"algorithm": "fixed-window"}, [("added", "l", "fresh"), ("removed", "l", "dropped")]),
        ({"per": "ip"}, [("added", "l", "fresh"), ("removed", "l", "dropped")]),
        ({"name": "m"}, [("added", "m", "fresh"), ("removed", "l", "dropped")]),
        ({"rate": "10/minute;50/day"}, [("added", "l", "fresh")]),
        (
            {"tiers": {"plan": {"pro": {"rate": "99/minute"}}}},
            [("changed", "l", "kept"), ("added", "l (tier pro)", "fresh")],
        ),
    ],
)
def test_each_change_is_said_with_its_counters(
    now: dict[str, Any], expected: list[tuple[str, str, str]]
) -> None:
    assert changes(BASE, {**BASE, **now}) == expected


def test_counters_as_large_as_their_quota_begin_afresh() -> None:
    before = {"name": "l", "per": "ip", "concurrent": 3}
    assert changes(before, {**before, "concurrent": 4}) == [("raised", "l", "fresh")]


def test_another_source_of_an_identity_begins_afresh() -> None:
    limit = {"name": "l", "per": "account", "rate": "1/second"}
    before, after = (
        Policy.from_mapping(
            {"version": 1, "identities": {"account": {"from": source}}, "limit": [limit]}
        ).compiled
        for source in ("header:x", "header:y")
    )
    assert [(one.subject, one.counters) for one in diff(before, after)] == [
        ("l", "fresh"),
        ("[identities]", "kept"),
    ]


def test_other_tables_are_named_and_the_store_waits_for_a_restart() -> None:
    found = diff(compiled(BASE), compiled(BASE, store={"keys": 5000}, deny={"ip": ["192.0.2.1"]}))
    assert [str(one) for one in found] == [
        "[deny] changed: ip 1 added, 0 removed (counters kept)",
        "[store] changed: keys is another, takes effect when the process starts again (counters kept)",
    ]


CHANGED = """\
version = 1
strict = {strict}
{adaptive}
[identities]
account = {{ from = "header:{header}" }}
[[limit]]
name = "requests"
per = "account"
rate = "10/minute"
on_refusal = ["{refusal}"]
[hashing]
key = "{key}"
[allow]
account = ["{guest}"]
[correlation]
principal = "account"
network = "ip"
known.exempt = ["{guest}"]
"""


def test_every_changed_key_is_told_with_what_it_was_and_no_secret_is() -> None:
    """Hazard: of a table that nobody listed the journal has a digest alone."""

    def policy(**words: str) -> CompiledPolicy:
        return Policy.from_toml(CHANGED.format(**words)).compiled

    before = policy(
        strict="false",
        adaptive="adaptive.first_byte = '500ms'",
        header="x-api-key",
        refusal="refuse",
        key="00112233445566778899aabbccddeeff",
        guest="guest-1",
    )
    after = policy(
        strict="true",
        adaptive="adaptive.first_byte = '2s'",
        header="x-user",
        refusal="degrade",
        key="ffeeddccbbaa99887766554433221100",
        guest="guest-2",
    )
    told = "\n".join(map(str, diff(before, after)))
    for words in (
        "requests changed: on_refusal refuse → degrade",
        "the policy changed: strict false → true",
        "[adaptive] changed: first_byte 500ms → 2s",
        "[identities] changed: account.from header:x-api-key → header:x-user",
        "[allow] changed: account 1 added, 1 removed",
        "[correlation] changed: known.exempt 1 added, 1 removed",
        "[hashing] changed: key is another, takes effect when the process starts again",
    ):
        assert words in told, told
    for secret in ("0011", "ffee", "guest"):
        assert secret not in told, told
    assert not {each.limit for each in diff(before, after)} - {"requests", ""}


def test_a_table_that_comes_or_goes_is_named() -> None:
    with_it = compiled(BASE, adaptive={"first_byte": "2s"})
    assert [str(one) for one in diff(compiled(BASE), with_it)] == ["[adaptive] added (counters kept)"]
    assert [str(one) for one in diff(with_it, compiled(BASE))] == ["[adaptive] removed (counters kept)"]


def test_a_change_reads_as_a_sentence() -> None:
    (change,) = diff(compiled(BASE), compiled({**BASE, "rate": "20/minute", "burst": 30}))
    assert str(change) == "l raised: 10 per 60 s → 20 per 60 s, burst 30 (counters kept)"


def test_the_fingerprint_changes_when_a_file_is_written_or_replaced(tmp_path: Path) -> None:
    file = tmp_path / "p.toml"
    assert fingerprint(file) is None
    file.write_text("version = 1\n")
    first = fingerprint(file)
    assert first == fingerprint(str(file))
    os.utime(file, ns=(1, 1))
    second = fingerprint(file)
    other = tmp_path / "q.toml"
    other.write_text("version = 1\n")
    os.utime(other, ns=(1, 1))
    other.replace(file)
    assert len({first, second, fingerprint(file)}) == 3


def test_limit_that_binds_others_keeps_its_counters_and_says_so() -> None:
    text = """\
version = 1
[[limit]]
name = "actor"
per = "cluster:{}"
rate = "5/day"
[correlation]
principal = "ip"
network = "ip"
"""
    before, after = (Policy.from_toml(text.format(verdict)).compiled for verdict in ("certain", "likely"))
    (change,) = diff(before, after)
    assert (change.kind, change.subject, change.counters) == ("changed", "actor", "kept")
    assert "verdict certain → likely" in change.detail
