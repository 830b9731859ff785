"""`ratelimit make history`: records of payers from logs, and the limiter that starts with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ratelimit import Limiter
from ratelimit.allowance.history import read_history
from ratelimit.allowance.records import Standing
from ratelimit.allowance.stage import AllowancePart
from ratelimit.clock import ManualClock
from ratelimit.core.replay.columns import address_column
from ratelimit.errors import PolicyError, StoreError
from ratelimit.policy import Policy
from tests.cli.running import run

DAY = 86_400
START = 20_000 * DAY
KEY = "00112233445566778899aabbccddeeff"
POLICY = """\
version = 1
[identities]
account = {{ from = "header:x-api-key" }}
card = {{ from = "header:x-card", missing = "skip" }}
network = {{ from = "client/24/48" }}
[[limit]]
name = "a day of a payer"
match = "POST /v1/*"
per = "card"
rate = "{rate}/day"
algorithm = "sliding-window"
budget = {{ per_usd = 600 }}
[correlation]
paid = "state:paid_usd"
[hashing]
key = "{key}"
[store]
history = "{history}"
"""


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.toml"
    path.write_text(POLICY.format(key=KEY, rate=50, history=tmp_path / "history.bin"))
    return path


def line(at_s: float, payer: str | None, account: str = "a", path: str = "/v1/chat") -> dict[str, Any]:
    facts = {"time": at_s, "method": "POST", "path": path, "ip": "203.0.113.9", "account": account}
    return facts | ({"card": payer, "paid_usd": 20} if payer else {})


def month() -> list[dict[str, Any]]:
    """Return 31 days: one payer with 20 a day and 100 on the tenth, one that came on the last day."""
    lines = [
        line(START + day * DAY + at, "old", f"a{at % 2}")
        for day in range(31)
        for at in range(100 if day == 10 else 20)
    ]
    lines += [line(START + 30 * DAY + 1000, "new"), line(START + 30 * DAY + 1001, None)]
    lines += [line(START + 30 * DAY + 1002, "other", path="/health")]
    return sorted(lines, key=lambda each: each["time"])


def log(folder: Path, lines: list[dict[str, Any]]) -> Path:
    path = folder / "trace.ndjson"
    path.write_text("".join(json.dumps(each) + "\n" for each in lines))
    return path


def test_installation_knows_its_payers_from_a_log_at_its_first_request(policy: Path, tmp_path: Path) -> None:
    found = run("make", "history", policy, log(tmp_path, month()), "-o", tmp_path / "history.bin", "--json")
    assert found.exit_code == 0, found.output
    told = json.loads(found.stdout)
    assert (told["payers"], told["days"], told["over_base"], told["base"]) == (2, 31, 1, 50)
    assert told["counted"] == told["requests"] - 2
    assert 100 / 2 ** (1 / 8) - 1 < told["largest"] <= 100
    now_s = START + 32 * DAY
    limiter = Limiter(Policy.load(policy), clock=ManualClock(now_s * 10**9))
    try:
        records, hasher = limiter.runtime.part(AllowancePart).records_memory(), limiter.store.hasher

        def identity(name: str, value: str) -> int:
            return hasher.identity(hasher.kind_of(name), value)

        old, new = identity("card", "old"), identity("card", "new")
        assert records.best(old, now_s) == told["largest"]
        # What was paid is settled by the log alone, and not that of who came on its last day.
        assert 18_000_000 < records.settled(old, now_s) <= 20_000_000
        assert records.settled(new, now_s) == 0
        assert records.see(old, identity("account", "a1"), 5, 0, now_s) == 0
        stranger = identity("account", "stranger")
        assert records.see(old, stranger, 6, now_s - 400 * DAY, now_s) == Standing.ELSEWHERE
        (place,), _ = address_column(hasher, hasher.kind_of("ip"), 32, 64, ["203.0.113.9"], int)
        assert records.see(old, stranger, place, 0, now_s) == 0
    finally:
        limiter.close()


def test_a_day_of_tokens_is_imported_like_a_day_of_requests(policy: Path, tmp_path: Path) -> None:
    """Hazard: a payer whose requests are known from logs, and who is held to the least of tokens."""
    tokens = """
[[limit]]
name = "tokens of a payer"
match = "POST /v1/*"
per = "card"
unit = "output_tokens"
rate = "1000/day"
cost = 10
budget = { growth = 3, most = 1000000 }
[correlation]
"""
    grows = policy.read_text().replace("per_usd = 600", "growth = 3, most = 1000000")
    policy.write_text(grows.replace("[correlation]\n", tokens, 1))
    lines = [each | {"output_tokens": 70} for each in month() if each["path"] == "/v1/chat"]
    for each in lines:
        each.pop("paid_usd", None)
    found = run("make", "history", policy, log(tmp_path, lines), "-o", tmp_path / "history.bin", "--json")
    assert found.exit_code == 0, found.output
    told = json.loads(found.stdout)
    assert (told["payers"], told["base"]) == (2, 50)
    assert told["largest"] <= 100
    # Three times 100 requests and 7,000 tokens, in levels; without records one has 50 and 1,000.
    tomorrow = [line(START + 31 * DAY + at, "old") | {"output_tokens": 70} for at in range(400)]
    for each in tomorrow:
        del each["paid_usd"]
    trace = log(tmp_path, tomorrow)
    found = run("replay", policy, trace, "--json", "--no-progress")
    assert found.exit_code == 0, found.output
    assert 100 < json.loads(found.stdout)["refused"] < 200
    (tmp_path / "history.bin").unlink()
    found = run("replay", policy, trace, "--json", "--no-progress")
    assert json.loads(found.stdout)["refused"] > 340


def test_replay_begins_with_the_history_that_the_policy_names(policy: Path, tmp_path: Path) -> None:
    """Hazard: a replay that takes customers of years for new ones, and refuses them."""
    assert (
        run("make", "history", policy, log(tmp_path, month()), "-o", tmp_path / "history.bin").exit_code == 0
    )
    lines = [line(START + 32 * DAY + at, "old") for at in range(300)]
    # An allowance covers no stranger to a known payer, elsewhere.
    strangers = [{**each, "account": "x", "ip": "198.51.100.1"} for each in lines]
    beyond = policy.read_text().replace(
        "[correlation]\n",
        """[[limit]]
name = "beyond"
match = "POST /v1/*"
per = "account"
budget = "overflow"
rate = "10/day"
[correlation]
principal = "account"
""",
        1,
    )
    policy.write_text(beyond)
    trace = log(tmp_path, strangers)
    known = run("replay", policy, trace, "--json", "--no-progress")
    assert json.loads(known.stdout)["refused"] == 290
    (tmp_path / "history.bin").unlink()
    fresh = run("replay", policy, trace, "--json", "--no-progress")
    assert json.loads(fresh.stdout)["refused"] == 0
    assert "does not exist" in fresh.stderr
    (tmp_path / "history.bin").write_bytes(b"KINHIST\n")
    broken = run("replay", policy, trace, "--json", "--no-progress")
    assert broken.exit_code == 3
    assert "cut short" in broken.stderr


def test_public_address_in_a_log_is_no_place(policy: Path, tmp_path: Path) -> None:
    """Hazard: a cloud's address, where a customer was once and anybody may be now."""
    (tmp_path / "clouds.txt").write_text("203.0.113.0/24\n")
    account = 'account = { from = "header:x-api-key" }\n'
    for is_public in (False, True):
        text = POLICY.format(key=KEY, rate=50, history=tmp_path / "history.bin")
        if is_public:
            keys = f'principal = "account"\npublic = ["file:{tmp_path}/clouds.txt"]\n'
            text = text.replace("[correlation]\n", f"[correlation]\n{keys}")
        assert account in text
        policy.write_text(text)
        found = run("make", "history", policy, log(tmp_path, month()), "-o", tmp_path / "history.bin")
        assert found.exit_code == 0, found.output
        now_s = START + 32 * DAY
        limiter = Limiter(Policy.load(policy), clock=ManualClock(now_s * 10**9))
        try:
            records, hasher = limiter.runtime.part(AllowancePart).records_memory(), limiter.store.hasher
            (place,), _ = address_column(hasher, hasher.kind_of("ip"), 32, 64, ["203.0.113.9"], int)
            old = hasher.identity(hasher.kind_of("card"), "old")
            assert records.see(old, 5, place, 0, now_s) == (Standing.ELSEWHERE if is_public else 0)
        finally:
            limiter.close()


def test_people_are_told_how_many_payers_days_the_largest_and_those_over_base(
    policy: Path, tmp_path: Path
) -> None:
    found = run("make", "history", policy, log(tmp_path, month()), "-o", tmp_path / "history.bin")
    assert found.exit_code == 0, found.output
    for said in ("2 payers, 31 days", "on a day: 1 payer", "`a day of a payer`"):
        assert said in found.output
    found = run("make", "history", policy, log(tmp_path, month()[:10]), "-o", tmp_path / "history.bin")
    assert "1 of 30 days" in found.output


def test_history_of_another_hash_key_is_refused_at_the_start(policy: Path, tmp_path: Path) -> None:
    assert (
        run("make", "history", policy, log(tmp_path, month()), "-o", tmp_path / "history.bin").exit_code == 0
    )
    policy.write_text(POLICY.format(key=KEY[::-1], rate=50, history=tmp_path / "history.bin"))
    with pytest.raises(StoreError) as caught:
        Limiter(Policy.load(policy), clock=ManualClock(START * 10**9))
    assert caught.value.code == "history-key"


def test_history_needs_a_hash_key_a_payer_and_a_limit_by_the_day(policy: Path, tmp_path: Path) -> None:
    text, trace = policy.read_text(), log(tmp_path, month())
    policy.write_text(text.replace(f'[hashing]\nkey = "{KEY}"\n', ""))
    with pytest.raises(PolicyError) as caught:
        Policy.load(policy)
    assert [problem.code for problem in caught.value.problems] == ["store-history-key"]
    for old, new, says in (
        (f'history = "{tmp_path}/history.bin"\n', "", None),
        ("50/day", "50/hour", "rate by the day"),
    ):
        policy.write_text(text.replace(old, new))
        found = run("make", "history", policy, trace, "-o", tmp_path / "out.bin")
        assert (found.exit_code, says is None or says in found.output) == (1 if says else 0, True)
    without_key = text.replace(f'[hashing]\nkey = "{KEY}"\n', "")
    policy.write_text(without_key.replace(f'history = "{tmp_path}/history.bin"\n', ""))
    found = run("make", "history", policy, trace, "-o", tmp_path / "out.bin")
    assert found.exit_code == 1
    assert "bound to a hash key" in found.output


def test_log_without_payers_writes_nothing(policy: Path, tmp_path: Path) -> None:
    trace = log(tmp_path, [line(START + at, None) for at in range(5)])
    found = run("make", "history", policy, trace, "-o", tmp_path / "history.bin")
    assert found.exit_code == 3
    assert "no payer in 5 lines" in found.output
    assert not (tmp_path / "history.bin").exists()


def test_history_overwrites_nothing_that_it_reads(policy: Path, tmp_path: Path) -> None:
    trace = log(tmp_path, month())
    for path in (policy, trace):
        before = path.read_bytes()
        assert run("make", "history", policy, trace, "-o", path).exit_code == 2
        assert path.read_bytes() == before
    found = run("make", "history", policy, trace, "-o", tmp_path / "no" / "folder")
    assert found.exit_code == 3
    assert not any(path.name.startswith("history") for path in tmp_path.iterdir())


def test_bytes_of_the_same_logs_say_the_same(policy: Path, tmp_path: Path) -> None:
    trace = log(tmp_path, month())
    for name in ("one", "two"):
        assert run("make", "history", policy, trace, "-o", tmp_path / name).exit_code == 0
    key = bytes.fromhex(KEY)
    assert read_history(tmp_path / "one", key) == read_history(tmp_path / "two", key)


def decisions(policy: Path, trace: Path, *more: object) -> list[dict[str, Any]]:
    """Return what a replay decides."""
    out = trace.with_name("decisions.ndjson")
    found = run("replay", policy, trace, "--decisions", out, "--json", "--no-progress", *more)
    assert found.exit_code == 0, found.output
    known = json.loads(found.stdout)["history"]
    assert known == ({"payers": 3} if "--history" in more else None)
    return [json.loads(each) for each in out.read_text().splitlines()]


def of_card(at_s: float, number: int, paid_usd: float | None, account: str, ip: str) -> dict[str, Any]:
    facts = {"time": at_s, "method": "POST", "path": "/v1/chat", "ip": ip, "account": account}
    return facts | {"card": f"card {number}"} | ({} if paid_usd is None else {"paid_usd": paid_usd})


def parts() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return ten days of three payers, and ten days of them a month later, with a stranger on each card.

    A limiter notes what its window of a day holds, a log what each day had: so they are even at first.
    """
    first, second = [], []
    for day in (*range(10), *range(45, 55)):
        part = first if day < 10 else second
        at_s = START + day * DAY
        for number, paid_usd in enumerate((None, 20, 0.5)):
            asked, apart_s = (40, DAY / 40) if part is first else (300, 60)
            ip = f"203.0.113.{number}"
            part += [
                of_card(at_s + apart_s * at, number, paid_usd, f"owner {number}", ip) for at in range(asked)
            ]
            stranger = f"198.51.100.{number}"
            if part is second:
                part += [
                    of_card(at_s + 60 * at + 9, number, paid_usd, f"thief {number}", stranger)
                    for at in range(60)
                ]
    return tuple(sorted(part, key=lambda each: each["time"]) for part in (first, second))  # type: ignore[return-value]


def test_replay_with_a_history_decides_as_the_replay_of_the_whole(policy: Path, tmp_path: Path) -> None:
    """Hazard: an operator judges the policy by payers that it takes for new, and none of its own will be."""
    text = POLICY.format(key=KEY, rate=50, history=tmp_path / "none.bin").replace(
        "per_usd = 600", "per_usd = 10, growth = 3, most = 5000"
    )
    beyond = '[[limit]]\nname = "beyond"\nper = "account"\nbudget = "overflow"\nrate = "20/day"\n'
    text = text.replace("[correlation]\n", f'{beyond}[correlation]\nprincipal = "account"\nnetwork = "ip"\n')
    policy.write_text(text)
    first, second = parts()
    for name, lines in (("first", first), ("second", second), ("whole", [*first, *second])):
        (tmp_path / name).mkdir()
        log(tmp_path / name, lines)
    history = tmp_path / "history.bin"
    made = run("make", "history", policy, tmp_path / "first" / "trace.ndjson", "-o", history)
    assert made.exit_code == 0, made.output
    whole = decisions(policy, tmp_path / "whole" / "trace.ndjson")[len(first) :]
    apart = decisions(policy, tmp_path / "second" / "trace.ndjson", "--history", history)
    fresh = decisions(policy, tmp_path / "second" / "trace.ndjson")
    assert apart == whole
    refused = {
        name: sum(each["action"] == "refuse" for each in found)
        for name, found in (("whole", whole), ("fresh", fresh))
    }
    assert 0 < refused["whole"] != refused["fresh"] > 0, refused


def test_replay_refuses_a_history_that_it_cannot_use(policy: Path, tmp_path: Path) -> None:
    trace, history = log(tmp_path, month()), tmp_path / "history.bin"
    assert run("make", "history", policy, trace, "-o", history).exit_code == 0
    text = policy.read_text()
    damaged = bytearray(history.read_bytes())
    damaged[-40] ^= 1
    for policy_text, content, exit_code, says in (
        (text.replace(KEY, KEY[::-1]), None, 3, "[history-key]"),
        (text, bytes(damaged), 3, "[history-damaged]"),
        (text, b"no history", 3, "[history-version]"),
        (text.replace("budget = { per_usd = 600 }\n", ""), None, 2, "no limit with an allowance"),
        (
            text.replace(f'[hashing]\nkey = "{KEY}"\n', "").replace(f'history = "{history}"\n', ""),
            None,
            1,
            "bound to a hash key",
        ),
    ):
        policy.write_text(policy_text)
        given = tmp_path / "given.bin"
        given.write_bytes(history.read_bytes() if content is None else content)
        found = run("replay", policy, trace, "--history", given, "--no-progress")
        assert (found.exit_code, says in found.output) == (exit_code, True), found.output
