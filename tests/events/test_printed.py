"""Entries of a journal that is followed: each is printed once, whichever host tells it, and when."""

from __future__ import annotations

import pytest

from ratelimit.inspection.journal.entries import Entry, Printed, entry_of
from ratelimit.stores.journal import Record

NS = 10**9


def entry(at_s: float, host: str, name: str, /, **fields: object) -> Entry:
    return entry_of(Record(name, round(at_s * NS), host, 7, "", dict(fields), b""))


def made(at_s: float, host: str) -> Entry:
    said = {"act": "8-580f", "kind": "stop", "identity": "account", "of": ["26c94d0a00000000"]}
    return entry(at_s, host, "act-made", **said, by="ann@web-1")


def test_an_act_is_printed_once_however_late_another_host_tells_it() -> None:
    """Hazard: each host merges an act, and tells it; one that was cut off does so hours later."""
    printed = Printed()
    assert printed.add(made(100, "web-1"))
    assert not printed.add(made(101, "web-2"))
    assert not printed.add(made(100, "web-1").with_host("web-2"))
    assert not printed.add(made(9000, "web-3"))
    # A clock that is late says an earlier time: the merged entry then begins with it.
    assert not printed.add(made(99, "web-2").with_host("web-1"))


def test_a_policy_is_printed_once_for_all_hosts_and_again_when_it_comes_back() -> None:
    printed = Printed()
    assert printed.add(entry(100, "web-1", "policy-reloaded", digest="a"))
    assert not printed.add(entry(130, "web-2", "policy-reloaded", digest="a"))
    assert printed.add(entry(900, "web-1", "policy-reloaded", digest="a"))


def test_what_a_host_says_of_itself_is_printed_for_each_host() -> None:
    printed = Printed()
    assert printed.add(entry(100, "web-1", "store-away"))
    assert printed.add(entry(100, "web-2", "store-away"))
    assert not printed.add(entry(100, "web-2", "store-away"))
    assert printed.add(entry(101, "web-2", "store-away"))


@pytest.mark.parametrize(
    ("kind", "begins"),
    [
        ("act-made", "act 8-580f made by ann@web-1 (key is stolen): account 26c94d0a stopped"),
        ("act-undone", "act 8-580f undone by ann@web-1 (key is stolen): account 26c94d0a stopped"),
        (
            "act-lapsed",
            "act 8-580f lapsed, made by ann@web-1 (key is stolen): account 26c94d0a stopped",
        ),
    ],
)
def test_by_whom_stands_beside_what_the_person_did(kind: str, begins: str) -> None:
    """Hazard: "undone: account … stopped, until 14:00, by Ann" reads as if Ann had stopped it."""
    fields = {**made(1, "web-1").fields, "reason": "key is stolen"}
    assert entry(1, "web-1", kind, **fields).text.startswith(begins)
