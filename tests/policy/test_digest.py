"""A policy as one number."""

from __future__ import annotations

import pytest

from ratelimit.policy import Policy

LIMIT = '[[limit]]\nname = "a"\nper = "ip"\nrate = "5/minute"\n'
TIERS = '[identities]\nplan = { from = "state:plan", missing = "skip" }\n'


def digest(text: str) -> int:
    return Policy.from_toml(f"version = 1\n{text}").digest


@pytest.mark.parametrize(
    "text",
    [
        LIMIT,
        f"# a comment\n{LIMIT}",
        LIMIT + 'match = "* /*"\n',
        f"[store]\nkeys = 5000\n{LIMIT}",
        f'[hashing]\nkey = "00112233445566778899aabbccddeeff"\n{LIMIT}',
    ],
    ids=["itself", "comment", "default written out", "store", "hash key"],
)
def test_same_settings_same_number(text: str) -> None:
    assert digest(text) == digest(LIMIT)


@pytest.mark.parametrize(
    "text",
    [LIMIT.replace("5", "6"), LIMIT + LIMIT.replace('"a"', '"b"'), f'[deny]\nip = ["192.0.2.1"]\n{LIMIT}'],
)
def test_other_settings_another_number(text: str) -> None:
    assert digest(text) != digest(LIMIT)


def test_order_of_a_table_is_nothing() -> None:
    rows = ['tiers.plan.x.rate = "1/minute"\n', 'tiers.plan.y.rate = "2/minute"\n']
    head = f"{TIERS}{LIMIT}"
    assert digest(head + "".join(rows)) == digest(head + "".join(rows[::-1]))


def test_number_is_exact_in_a_float() -> None:
    found = digest(LIMIT)
    assert 0 < found < 2**48
    assert int(float(found)) == found
