"""Records of kinds of acts: what every part that goes by them relies on."""

from __future__ import annotations

import msgspec
import pytest

from ratelimit.cli.commands import GROUPS
from ratelimit.inspection.acts.words import act_words, event_words, line_of
from ratelimit.stores.acts.act import Act, read_acts
from ratelimit.stores.acts.kinds import BY_KIND, KINDS, ActKind


def act(kind: str) -> Act:
    """Return an act of a kind, in force for a minute."""
    return Act(1, kind, 1, "ada@host", "00", [7], "account", name="Acme", until_ns=60 * 10**9)


def test_names_of_kinds_are_unique() -> None:
    assert len(BY_KIND) == len(KINDS)


@pytest.mark.parametrize("of", KINDS, ids=lambda of: of.kind)
def test_each_kind_is_read_and_told(of: ActKind) -> None:
    (read,) = read_acts([act(of.kind).line()])
    assert read.of is of
    assert "{" not in act_words(read) + line_of(read)
    assert act_words(read).endswith("UTC") == of.lapses


def test_unknown_kind_is_left_out() -> None:
    lines = [act("stop").line(), msgspec.json.encode(act("of-another-release"))]
    assert [each.kind for each in read_acts(lines)] == ["stop"]


def test_journal_says_the_same_of_an_event_and_of_the_log() -> None:
    made = act("organisation")
    fields = {"kind": made.kind, "identity": made.identity, "of": [f"{7:016x}"], "says": made.name}
    assert event_words(fields | {"until": 60}) == line_of(made)
    assert "organisation Acme" in line_of(made)


def test_each_line_of_a_record_is_a_command() -> None:
    lines = {each.command: each.line for each in KINDS if each.line}
    assert {word: GROUPS["act"][word].line for word in lines} == lines
