"""Limits in dollars: what an answer cost, by its model's price."""

from __future__ import annotations

from typing import Any

import pytest

from ratelimit.errors import PolicyError
from ratelimit.policy import Policy
from tests.asgi.driver import Mounted, key, limit, mount, rules
from tests.asgi.metered import answering, pieces_of, posting, reading_back
from tests.usage.answers import CHAT_USAGE, chat, event, events, responses

PRICES = """
[prices.small]
input = 0.15
output = 0.6
cache_read = 0.075

[prices.large]
input = 3
output = 15
cache_read = 0.3
cache_write = 3.75
request = 0.001
"""
BUDGET = 5_000_000


def policy(**words: Any) -> str:
    words = {"usage": "auto", "cost": "declared", "algorithm": "fixed-window", **words}
    return rules(limit("spend", rate="5/day", unit="usd", **words)) + PRICES


def used(mounted: Mounted) -> int:
    decision = mounted.middleware.limiter.peek(method="POST", identities={"account": "a"}, costs={"usd": 0})
    return BUDGET - decision.verdicts[0].remaining


# 50 fresh, 10 written, 40 read, 20 out.
SMALL = -(-(60 * 150 + 40 * 75 + 20 * 600) // 1000)
LARGE = -(-(50 * 3000 + 10 * 3750 + 40 * 300 + 20 * 15000) // 1000) + 1000


@pytest.mark.parametrize(
    ("asked", "cost"),
    [("small", SMALL), ("large", LARGE), ("large-2026-01-01", LARGE), ("unheard-of", LARGE), (None, LARGE)],
)
async def test_answer_is_charged_by_its_model_s_price(asked: str | None, cost: int) -> None:
    """A model without a price is the dearest, and so is a request that names none."""
    mounted = mount(policy(), answering(*pieces_of(chat("word", CHAT_USAGE))))
    got = await posting(mounted).post({"max_tokens": 100, **({"model": asked} if asked else {})})
    assert got.status == 200
    assert got.headers["ratelimit-policy"] == '"spend";q=5000000;w=86400;qu="microdollars"'
    assert used(mounted) == cost


async def test_model_that_only_the_answer_names() -> None:
    body = event({"model": "small-2024-07-18", "choices": [], "usage": CHAT_USAGE})
    mounted = mount(policy(), answering(body))
    await posting(mounted).post({})
    assert used(mounted) == SMALL


async def test_response_names_its_model_below_its_response() -> None:
    usage = {"input_tokens": 100, "input_tokens_details": {"cached_tokens": 40}, "output_tokens": 20}
    documents = responses("word", usage)
    documents[-1]["response"]["model"] = "small"
    mounted = mount(policy(), answering(events(documents)))
    await posting(mounted).post({})
    assert used(mounted) == SMALL


@pytest.mark.parametrize(
    ("document", "reserved"),
    [
        ({"model": "small", "max_tokens": 1000}, 600),
        ({"model": "large", "max_tokens": 1000}, 15_000 + 1000),
        ({"model": "small"}, 615),
    ],
)
async def test_estimate_is_by_price_and_declared_maximum(document: Any, reserved: int) -> None:
    mounted = mount(policy(), reading_back)
    got = await posting(mounted).post(document)
    # The input is by the body's size.
    assert reserved <= int(got.body) <= reserved + 50


async def test_unknown_model_is_refused_where_the_policy_says_so() -> None:
    mounted = mount(policy(unknown_model="refuse"), answering(chat("word", CHAT_USAGE)))
    refused = await posting(mounted).post({"model": "unheard-of", "max_tokens": 1})
    assert refused.status == 400
    assert refused.problem["code"] == "unknown-model"
    assert "retry-after" not in refused.headers
    assert (await posting(mounted).post({"model": "small", "max_tokens": 1})).status == 200
    assert used(mounted) == SMALL


async def test_unknown_model_by_a_number() -> None:
    mounted = mount(policy(unknown_model=2.5), answering(chat("word", CHAT_USAGE)))
    await posting(mounted).post({"model": "unheard-of", "max_tokens": 1})
    assert used(mounted) == -(-120 * 2500 // 1000)


@pytest.mark.parametrize(
    ("text", "code", "key"),
    [
        (policy().replace(PRICES, ""), "limit-prices", "limit[0].unit"),
        (policy(cost=5), "limit-estimate", "limit[0].cost"),
        (policy(unknown_model=-1.0), "policy-value", "limit[0].unknown_model"),
        (policy(unknown_model="cheapest"), "policy-value", "limit[0].unknown_model"),
        (
            policy().replace('unit = "usd"', 'unit = "output_tokens"\nunknown_model = 3.0'),
            "limit-conflict",
            "limit[0].unknown_model",
        ),
        (policy() + "inptu = 3\n", "policy-unknown-key", "prices.large.inptu"),
        (policy() + "[prices.x]\ninput = -1\noutput = 1\n", "policy-value", "prices.x.input"),
        (policy() + "[prices.x]\noutput = 1\n", "policy-missing-key", "prices.x.input"),
    ],
)
def test_policies_that_cannot_be_meant(text: str, code: str, key: str) -> None:
    with pytest.raises(PolicyError) as caught:
        Policy.from_toml(text)
    (problem,) = caught.value.problems
    assert (problem.code, problem.key) == (code, key)


async def test_number_alone_needs_no_list() -> None:
    text = policy(unknown_model=3.0).replace(PRICES, "")
    mounted = mount(text, answering(chat("word", CHAT_USAGE)))
    await mounted.client("POST", headers=key("a"))
    assert used(mounted) == 120 * 3
