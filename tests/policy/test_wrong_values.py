"""Wrong values at every key, and files that are none: each a PolicyError with file, line and key."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest

from ratelimit import Limiter
from ratelimit.clock import ManualClock
from ratelimit.errors import PolicyError, Problem, RateLimitError
from ratelimit.policy import Policy
from ratelimit.stores.embedded.store import EmbeddedStore
from tests.support.wrong_values import (
    ALL_KEYS,
    DIGITS,
    SOUND,
    WRONG,
    Key,
    document,
    random_wrong,
    with_wrong,
)

SERVER: dict[str, Any] = {
    **SOUND,
    "hashing": {"key": "env:RATELIMIT_KEY"},
    "store": {"url": "rediss://redis.internal", "ca": "ca.pem"},
}


def problems_of(text: str) -> tuple[Problem, ...]:
    """Return what is wrong with a policy, and see that a limiter can be made of one that is not."""
    refused: PolicyError | None = None
    try:
        policy = Policy.from_toml(text, "policy.toml")
    except PolicyError as error:
        refused = error
        told = error.problems
    else:
        told = policy.warnings
        works(policy)
    assert any(problem.severity == "error" for problem in told) is (refused is not None)
    assert str(refused).count("\n") < 25
    for problem in told:
        assert problem.file == "policy.toml"
        assert problem.line is not None
        assert 1 <= problem.line <= text.count("\n") + 1
        assert str(problem).isprintable()
        assert len(str(problem)) < 1500
        assert problem.code != "policy-fault", problem
    return told


def works(policy: Policy) -> None:
    clock = ManualClock()
    store = EmbeddedStore.private(keys=64, block_bytes=1 << 20, key=b"0" * 16, clock=clock)
    try:
        limiter = Limiter(policy, store=store, clock=clock, resolvers={"plan": str, "x": str})
    except RateLimitError:
        return
    finally:
        store.close()
    limiter.close()


CASES = [
    ("policy-version", 'version = "1"', 1, "version"),
    ("policy-value", f"version = 1\nlimit = [\n{'9' * 5000}]", 3, "limit[0]"),
    ("policy-value", f"version = {'9_9' * 4000}", 1, "version"),
    ("policy-value", f"version = 1\n[store]\nkeys = 0x{'f' * 99}", 3, "store.keys"),
    ("policy-text", 'version = 1\n[store]\nmemory = "a\\u0000"', 3, "store.memory"),
    ("policy-text", 'version = 1\n[allow]\n"a\\u0000" = []', 2, "allow"),
]


@pytest.mark.parametrize(("code", "text", "line", "key"), CASES, ids=range(len(CASES)))
def test_what_no_value_can_be_is_told_with_code_line_and_key(
    code: str, text: str, line: int, key: str
) -> None:
    told = [problem for problem in problems_of(text) if problem.severity == "error"]
    assert [(problem.code, problem.line, problem.key) for problem in told] == [(code, line, key)]


def test_sound_policy_is_sound() -> None:
    assert not [problem for problem in problems_of(document(SOUND, (), "")) if problem.severity == "error"]
    assert not [problem for problem in problems_of(document(SERVER, (), "")) if problem.severity == "error"]


@pytest.mark.parametrize("key", ALL_KEYS, ids=lambda key: ".".join(map(str, key)))
@pytest.mark.parametrize("wrong", ['"1"', "-1", "nan", "1979-05-27", DIGITS, r'"a\u0000b"', "[[1]]"])
def test_wrong_value_at_any_key_is_told_with_its_key(key: Key, wrong: str) -> None:
    told = problems_of(with_wrong(key, wrong))
    if wrong in (DIGITS, r'"a\u0000b"', "1979-05-27"):
        # Right for no key at all.
        names = [str(part) for part in key]
        assert any(names[0] in problem.key for problem in told if problem.severity == "error")


def test_made_up_values_at_every_key_are_told_or_taken(faults: int) -> None:
    rng = random.Random(1)
    for _ in range(faults):
        key, wrong = random_wrong(rng)
        problems_of(document(rng.choice((SOUND, SERVER)), key, wrong))


def test_made_up_texts_are_a_policy_or_told(faults: int) -> None:
    """Cut, doubled and overwritten anywhere."""
    rng = random.Random(2)
    sound = document(SOUND, (), "")
    for _ in range(faults):
        text = sound
        for _ in range(rng.randint(1, 3)):
            at, end = sorted(rng.choices(range(len(text) + 1), k=2))
            kind = rng.randrange(4)
            piece = (
                text[at:end] * 2,
                "",
                rng.choice(WRONG),
                chr(rng.choice((0, 1, 9, 10, 13, 27, 127, 0x85, 0x2028))),
            )
            text = text[:at] + piece[kind] + text[end if kind != 3 else at :]
        problems_of(text)


@pytest.mark.parametrize(
    "tree",
    [
        {"version": 10**5000},
        {"version": 1, "allow": {"\ud800": []}},
        {"version": 1, "allow": {"ip": ["\udfff"]}},
        {"version": 1, "limit": [{"name": "x", "per": "ip", "rate": "1/second", "unit": "\ud800"}]},
        {"version": 1, "store": {"memory": "a\0b"}},
        {"version": 1, "limit": [{"name": b"x", "per": {1}, "rate": 1 + 2j}]},
        {"version": 1, 7: 8},
        {"version": 1, "store": {"keys": float("inf")}},
        {"version": True},
        {"version": 1.0},
        {"version": None},
    ],
    ids=range(11),
)
def test_tree_of_values_that_no_file_has_is_told(tree: dict[Any, Any]) -> None:
    with pytest.raises(PolicyError) as caught:
        Policy.from_mapping(tree)
    assert all(
        problem.code != "policy-fault" and str(problem).isprintable() for problem in caught.value.problems
    )


def test_unforeseen_fault_of_the_checks_is_a_policy_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*given: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("ratelimit.policy.loader.check", broken)
    with pytest.raises(PolicyError, match="ZeroDivisionError: division by zero") as caught:
        Policy.from_toml("version = 1")
    assert caught.value.code == "policy-fault"


# -- files that are none ---------------------------------------------------------------------------


def files_that_are_none(folder: Path) -> dict[str, str]:
    """Return paths by what is wrong with them."""
    os.mkfifo(folder / "pipe")
    (folder / "folder").mkdir()
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "there").symlink_to(folder / "back")
    (folder / "back").symlink_to(folder / "there")
    (folder / "dangling").symlink_to(folder / "nothing")
    (folder / "plain").write_text("version = 1")
    (folder / "latin").write_bytes(b"version = 1\n# caf\xe9")
    (folder / "utf-16").write_text("version = 1", "utf-16")
    (folder / "huge").write_bytes(b"#" * (1 << 21))
    (folder / "nul").write_bytes(b"version = 1\n\0")
    (folder / "surrogate").write_bytes(b"version = 1\n# \xed\xa0\x80")
    (folder / "escaped").write_text('version = 1\n[allow]\n"\\ud800" = []')
    names = {
        name: str(folder / name) for name in sorted(each.name for each in folder.iterdir()) if name != "plain"
    }
    return {
        **names,
        "missing": str(folder / "missing"),
        "below a file": str(folder / "plain" / "x"),
        "empty name": "",
        "device": "/dev/zero",
        "NUL in its name": str(folder / "a\0b"),
        "half a pair in its name": str(folder / "\ud800"),
        "too long a name": str(folder / ("x" * 5000)),
    }


async def test_file_that_is_none_is_told_and_not_waited_for(tmp_path: Path) -> None:
    for name, path in files_that_are_none(tmp_path).items():
        with pytest.raises(PolicyError) as caught:
            Policy.load(path)
        (problem,) = caught.value.problems
        assert problem.code in ("policy-unreadable", "policy-encoding", "policy-size", "policy-syntax"), name
        assert "\n" not in str(caught.value), name
        with pytest.raises(PolicyError):
            Limiter(path)


def test_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text("version = 1", "utf-8-sig")
    assert Policy.load(tmp_path / "policy.toml").compiled.limits == ()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_file_that_is_not_ours_to_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text("version = 1")
    (tmp_path / "policy.toml").chmod(0)
    with pytest.raises(PolicyError, match="Permission denied"):
        Policy.load(tmp_path / "policy.toml")


@pytest.mark.parametrize("name", ["pipe", "folder", "loop", "missing", "device"])
def test_list_or_secret_in_a_file_that_is_none_is_told_and_not_waited_for(tmp_path: Path, name: str) -> None:
    path = files_that_are_none(tmp_path)[name]
    with pytest.raises(PolicyError) as caught:
        Policy.from_mapping(
            {
                "version": 1,
                "identities": {"a": {"from": "header:a"}},
                "correlation": {"principal": "a", "known": {"networks": [f"file:{path}"]}},
            }
        )
    assert "known-list" in {problem.code for problem in caught.value.problems}
    with pytest.raises(RateLimitError) as refused:
        Limiter(Policy.from_mapping({"version": 1, "hashing": {"key": f"file:{path}"}}))
    assert refused.value.code == "hash-key"
