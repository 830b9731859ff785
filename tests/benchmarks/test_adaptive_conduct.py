"""The benchmarks of conduct and of what a request costs, in short."""

from __future__ import annotations

from benchmarks.adaptive.conduct import (
    naive_keeps,
    struck_after_s,
    victim_of_address_keeps,
    victim_of_name_keeps,
)
from benchmarks.adaptive.cost import POLICIES, Behind


def test_scraper_is_struck_and_a_naive_client_keeps_its_limit() -> None:
    found = struck_after_s(60)
    assert found is not None
    assert found <= 60
    assert naive_keeps(10) >= 0.8


def test_victims_of_thrown_strikes_keep_their_limits() -> None:
    assert victim_of_address_keeps(60) >= 0.99
    assert victim_of_name_keeps(1) >= 0.99


def test_each_policy_that_is_counted_answers() -> None:
    for policy in POLICIES.values():
        behind = Behind(policy)
        try:
            assert behind.turn(3) == 3
        finally:
            behind.close()
