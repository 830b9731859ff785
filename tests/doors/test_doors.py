"""One list of spellings at every door: of five requests three are served, however the line is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from ratelimit.policy.routing.spellings import EVERY
from tests.doors.doors import BEFORE, INSIDE, QUOTA, Door, policy, replayed
from tests.doors.spellings import EVERYONE, OTHERS, ROWS, Row

TRIES = 5
ALL = f"spellings = {list(EVERY)}"


def address(at: int) -> str:
    """Return a caller of its own for each row."""
    return f"192.0.{at // 250}.{at % 250 + 1}"


def counts(door: Door, text: str, rows: list[Row]) -> list[tuple[int, Row]]:
    """Return how many of five requests each row had served, to a caller of its own."""
    serve = door(text)
    return [
        (sum(serve((row.method, row.target, address(at))) for _ in range(TRIES)), row)
        for at, row in enumerate(rows)
    ]


def known(name: str, rows: list[Row]) -> list[Row]:
    """Return the rows that a door can be sent; a call of gRPC is always `POST`."""
    return [row for row in rows if row.method == "POST" or name != "grpc"]


def test_list_is_one_of_many_different_spellings() -> None:
    assert len({(row.method, row.target) for row in ROWS}) == len(ROWS) >= 80
    assert {kind for row in ROWS for kind in row.reader.split()} == {EVERYONE, *EVERY}


@pytest.mark.parametrize("name", BEFORE)
def test_door_before_an_unknown_back_end_serves_no_spelling_more_than_the_limit(name: str) -> None:
    wrong = [found for found in counts(BEFORE[name], policy(), ROWS) if found[0] != QUOTA]
    assert not wrong


@pytest.mark.parametrize("name", [*BEFORE, *INSIDE])
def test_one_caller_s_spellings_are_one_budget(name: str) -> None:
    serve = {**BEFORE, **INSIDE}[name](policy(routing=ALL))
    rows = known(name, ROWS)
    assert sum(serve((row.method, row.target, "192.0.2.1")) for row in rows) == QUOTA
    assert serve(("POST", "/v1/chat", "192.0.2.2"))


@pytest.mark.parametrize("name", INSIDE)
def test_door_inside_serves_no_spelling_of_everyone_more_than_the_limit(name: str) -> None:
    rows = [row for row in known(name, ROWS) if row.reader == EVERYONE]
    assert not [found for found in counts(INSIDE[name], policy(), rows) if found[0] != QUOTA]


@pytest.mark.parametrize("name", INSIDE)
def test_door_inside_counts_what_the_policy_says_that_the_application_reads(name: str) -> None:
    wrong = [
        found for found in counts(INSIDE[name], policy(routing=ALL), known(name, ROWS)) if found[0] != QUOTA
    ]
    assert not wrong


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("name", ["nginx", "envoy", "asgi, uvicorn"])
def test_kind_that_is_said_alone_is_read_alone(name: str, kind: str) -> None:
    rows = [row for row in ROWS if row.reader == kind]
    for at, (served, row) in enumerate(
        counts({**BEFORE, **INSIDE}[name], policy(routing=f"spellings = ['{kind}']"), rows)
    ):
        assert served == QUOTA, (at, row)


@pytest.mark.parametrize("name", BEFORE)
def test_spelling_that_the_back_end_does_not_know_is_another_path(name: str) -> None:
    rows = [
        row
        for row in ROWS
        if row.reader in ("parameters", "extension", "decoding") and "%2" not in row.target
    ]
    found = counts(BEFORE[name], policy(routing="spellings = []"), rows)
    assert [served for served, _ in found] == [TRIES] * len(rows)


@pytest.mark.parametrize("name", [*BEFORE, *INSIDE])
def test_other_path_is_never_refused(name: str) -> None:
    doors = {**BEFORE, **INSIDE}
    wrong = [found for found in counts(doors[name], policy(), known(name, OTHERS)) if found[0] != TRIES]
    assert not wrong


def test_trace_is_replayed_as_a_door_before_an_unknown_back_end(tmp_path: Path) -> None:
    for rows, expected in ((ROWS, QUOTA), (OTHERS, TRIES)):
        asked = [(row.method, row.target, address(at)) for at, row in enumerate(rows) for _ in range(TRIES)]
        allowed = replayed(tmp_path, policy(), asked)
        assert len(allowed) == len(asked)
        for at, row in enumerate(rows):
            assert sum(allowed[at * TRIES : (at + 1) * TRIES]) == expected, row
