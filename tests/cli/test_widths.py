"""Reading commands in 80 columns: no line is wider, and no word is broken."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.table import Table

from ratelimit.cli.fitting import fitted
from ratelimit.limiter import Limiter
from ratelimit.stores.factory import wish_of
from ratelimit.worker.acts import ActFollower
from tests.cli.running import run, write_policy

WIDTH = 80
POLICY = """\
version = 1
[identities]
customer_account_number = {{ from = "header:x-api-key" }}
payment_method_fingerprint = {{ from = "header:x-card", missing = "skip" }}
plan = {{ from = "header:x-plan", missing = "skip" }}
[[limit]]
name = "requests of the message endpoint"
match = ["POST /v1/organisations/{{organisation}}/messages", "POST /v1/messages"]
per = "customer_account_number"
rate = "2/hour"
tiers.plan = {{ enterprise-with-support = "3/hour" }}
[[limit]]
name = "output tokens of every large language model"
per = "customer_account_number"
unit = "output_tokens"
rate = "600000/hour"
cost = "declared"
usage = "auto"
[[limit]]
name = "payment methods that several accounts share"
per = ["payment_method_fingerprint", "ip"]
rate = "4/hour"
[[limit]]
name = "a stricter trial that nobody enforces"
per = "ip"
rate = "1/hour"
mode = "shadow"
[store]
keys = 1000
memory = "{}"
"""
ACCOUNT = "customer-of-a-very-long-name@subsidiary.example.org"
COMMANDS = (
    ("show", "refused", "POLICY"),
    ("show", "refused", "POLICY", "--reveal", ACCOUNT),
    ("show", "acts", "POLICY"),
    ("show", "acts", "POLICY", "--all"),
    ("show", "took", "POLICY"),
    ("show", "budget", "POLICY", ACCOUNT),
    ("who", "POLICY", ACCOUNT),
    ("journal", "POLICY", "--hours", "--minutes"),
    ("check", "POLICY"),
    ("doctor", "POLICY"),
    ("top", "POLICY", "--once"),
)


@pytest.fixture
def policy(unattended: None, tmp_path: Path) -> Iterator[Path]:
    """Return the policy of a worker that refuses callers, with acts and notes of persons."""
    path = write_policy(tmp_path, POLICY.format(tmp_path / "table"))
    limiter = Limiter(path)
    follower = ActFollower(wish_of(limiter.policy, needs_key=False).place)
    follower.begin(limiter)
    follower.look(limiter)
    for plan in ("enterprise-with-support", "free"):
        for _ in range(9):
            headers = {"x-api-key": ACCOUNT, "x-card": "card-1", "x-plan": plan}
            limiter.decide(method="POST", path="/v1/messages", headers=headers, client="203.0.113.9")
    words = (
        "--yes",
        "--by",
        "Somebody with a long name",
        "--reason",
        "an incident that takes a while to tell of",
    )
    run("act", "exempt", path, ACCOUNT, "--from", "limits", *words)
    run("act", "budget", "set", path, ACCOUNT, "requests of the message endpoint=50", *words[:1])
    run("act", "note", path, "the load test goes on until three in the afternoon, or until somebody ends it")
    follower.look(limiter)
    yield path
    follower.resign()
    limiter.close()


def told(policy: Path, command: tuple[str, ...], columns: int, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COLUMNS", str(columns))
    result = run(*(str(policy) if each == "POLICY" else each for each in command))
    assert not isinstance(result.exception, Exception), result.exception
    return result.output


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_command_keeps_to_the_width_and_breaks_no_word(
    policy: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    narrow, wide = (told(policy, command, columns, monkeypatch) for columns in (WIDTH, 2000))
    for line in narrow.splitlines():
        # What is longer than a line by itself stays whole: a path, a command to be copied.
        assert len(line.rstrip()) <= WIDTH or len(line.split()) == 1, line
    words = set(re.findall(r"[^\W\d_]{2,}", narrow))
    assert words <= set(re.findall(r"[^\W\d_]{2,}", wide)), narrow
    assert narrow.count("…") <= wide.count("…"), narrow


def test_a_table_that_cannot_fit_is_written_row_by_row() -> None:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("limit", "caller", "on"):
        table.add_column(title, overflow="fold")
    table.add_row("requests", "account " + "a" * 30, "h" * 50)
    lines = [str(each) for each in fitted(table, 60)]
    assert lines == ["requests", "  caller account " + "a" * 30 + "; on", "  " + "h" * 50]


def test_a_table_whose_words_fit_has_columns_as_wide_as_their_words() -> None:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("limit")
    table.add_column("says")
    table.add_row("unbreakable-name", "many short words that go on and on for more than a line")
    (same,) = fitted(table, 40)
    assert same is table
    assert [column.width for column in table.columns] == [16, 20]
