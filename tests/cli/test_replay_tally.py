"""A replay's memory of refusals: exact counts, a record for each key, and never more than so many."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ratelimit.lab import replay as tally
from ratelimit.lab.replay import LimitTally


def test_refusals_are_counted_by_key_and_the_first_record_is_shown() -> None:
    found = LimitTally(SimpleNamespace(per=(0,)))  # type: ignore[arg-type]  # it is handed on, never read
    found.add([(1,), (2,), (1,)], ["a", "b", "c"].__getitem__)
    found.add([(2,), (3,)], ["d", "e"].__getitem__)
    assert (found.refused, dict(found.keys)) == (5, {(1,): 2, (2,): 2, (3,): 1})
    assert found.shown == {(1,): "a", (2,): "b", (3,): "e"}


def test_more_keys_than_there_is_room_for_lose_the_rarest_and_what_is_left_has_its_record(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tally, "MOST_KEYS", 10)
    found = LimitTally(SimpleNamespace(per=(0,)))  # type: ignore[arg-type]
    found.add([(n,) for n in range(5)] * 2, (list(range(5)) * 2).__getitem__)
    found.add([(n,) for n in range(100, 107)], list(range(100, 107)).__getitem__)
    assert found.refused == 17
    assert found.forgotten == 7
    assert dict(found.keys) == {(n,): 2 for n in range(5)}
    found.add([(200,), (3,)], ["new", "again"].__getitem__)
    assert found.keys.keys() == found.shown.keys()
    assert found.shown[200,] == "new"
    assert found.keys[3,] == 3
