"""Limits in dollars: what an answer cost, by its model's price."""

from __future__ import annotations

from typing import Any

import pytest

from ratelimit.decision import Reason
from ratelimit.errors import PolicyError
from ratelimit.policy import Policy
from tests.asgi.driver import Mounted, key, limit, mount, rules
from tests.asgi.metered import answering, pieces_of, posting, reading_back
from tests.usage.answers import CHAT_USAGE, chat, event, events, responses, whole

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
REFUSED = '[prices]\n"*" = "refuse"\n'
ANY = '[prices."*"]\ninput = {0}\noutput = {0}\n'
LONG = """
[[prices.x]]
input = 1
output = 1
[[prices.x]]
above = {}
input = 2
output = 2
[[prices.x]]
above = {}
input = 3
output = 3
"""
TIERS = """
[prices.x]
input = 1
output = 1
service_tiers = {{ {} }}
"""
PATTERNS = """
[prices."{}"]
input = 1
output = 1
[prices."{}"]
input = 2
output = 2
"""


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
    mounted = mount(policy() + REFUSED, answering(chat("word", CHAT_USAGE)))
    refused = await posting(mounted).post({"model": "unheard-of", "max_tokens": 1})
    assert refused.status == 400
    assert refused.problem["code"] == "unknown-model"
    assert "retry-after" not in refused.headers
    assert (await posting(mounted).post({"model": "small", "max_tokens": 1})).status == 200
    assert used(mounted) == SMALL


@pytest.mark.parametrize("rate", ["0.01/day", "5/day", "2147/day", "2148/day", "17000/month"])
@pytest.mark.parametrize("algorithm", ["fixed-window", "token-bucket"])
async def test_unknown_model_is_refused_whatever_the_size_of_the_budget(rate: str, algorithm: str) -> None:
    app = answering(chat("word", CHAT_USAGE))
    text = (policy(algorithm=algorithm) + REFUSED).replace('"5/day"', f'"{rate}"')
    mounted = mount(text, app)
    for _ in range(3):
        refused = await posting(mounted).post({"model": "unheard-of", "max_tokens": 1})
        assert (refused.status, refused.problem["code"]) == (400, "unknown-model")
    assert (await posting(mounted).post({"max_tokens": 1})).status == 400
    assert (await posting(mounted).post({"model": "small", "max_tokens": 1})).status == 200
    counted = mounted.middleware.limiter.runtime.counters.decisions()
    assert counted[False, Reason.MODEL] == 4


async def test_unknown_model_is_refused_by_no_limit_that_does_not_apply_or_is_in_shadow() -> None:
    shadow = mount(policy(mode="shadow") + REFUSED, answering(chat("word", CHAT_USAGE)))
    assert (await posting(shadow).post({"model": "unheard-of", "max_tokens": 1})).status == 200
    others = mount(policy(model="large*") + REFUSED, answering(chat("word", CHAT_USAGE)))
    assert (await posting(others).post({"model": "unheard-of", "max_tokens": 1})).status == 200
    assert (await posting(others).post({"model": "large-of-all", "max_tokens": 1})).status == 400


TIERED = """
[prices."small*"]
input = 1
output = 10
audio_output = 100
service_tiers = { priority = 2, flex = 0.5, batch = 0.5 }
"""
PLAIN_COST = 100 + 20 * 10


@pytest.mark.parametrize(
    ("claimed", "answered", "cost"),
    [
        (None, None, PLAIN_COST),
        (None, "default", PLAIN_COST),
        (None, "priority", 2 * PLAIN_COST),
        ("priority", "default", 2 * PLAIN_COST),
        ("priority", None, 2 * PLAIN_COST),
        ("flex", "flex", PLAIN_COST // 2),
        ("flex", None, PLAIN_COST),  # the client alone says so
        ("flex", "default", PLAIN_COST),
        ("default", "flex", PLAIN_COST),
        ("auto", "flex", PLAIN_COST // 2),
        (None, "FLEX", PLAIN_COST // 2),
        (None, "unheard-of", 2 * PLAIN_COST),
        ("unheard-of", None, 2 * PLAIN_COST),
    ],
)
async def test_dearer_of_the_tier_that_is_claimed_and_answered(
    claimed: str | None, answered: str | None, cost: int
) -> None:
    usage = {"prompt_tokens": 100, "completion_tokens": 20}
    tier = {} if answered is None else {"service_tier": answered}
    body = event({"model": "small-9", "choices": [], "usage": usage, **tier})
    mounted = mount(policy().replace(PRICES, TIERED), answering(body))
    said = {} if claimed is None else {"service_tier": claimed}
    await posting(mounted).post({"model": "small-9", "max_tokens": 30, **said})
    assert used(mounted) == cost


async def test_lines_of_a_batch_are_of_its_tier() -> None:
    usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
    line = whole({"custom_id": "a", "response": {"body": {"model": "small-9", "usage": usage}}}) + b"\n"
    app = answering(line, content_type=b"application/jsonl")
    mounted = mount(policy().replace(PRICES, TIERED), app)
    await posting(mounted).post({})
    assert used(mounted) == PLAIN_COST // 2


async def test_what_is_in_flight_is_the_dearest_that_the_model_answers_with() -> None:
    """An answer of sounds at the dearest tier: exposure never counts less than what it may cost."""
    text = policy(exposure=1, most=1000).replace(PRICES, TIERED)
    taken = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        taken.append(used(mounted))
        await answering(chat("word", CHAT_USAGE))(scope, receive, send)

    mounted = mount(text, app)
    await posting(mounted).post({"model": "small-9", "max_tokens": 1000})
    assert 2 * 1000 * 100 <= taken[0] <= 2 * 1000 * 100 + 2 * 100 * 60


async def test_unknown_model_by_a_number() -> None:
    mounted = mount(policy() + ANY.format(2.5), answering(chat("word", CHAT_USAGE)))
    await posting(mounted).post({"model": "unheard-of", "max_tokens": 1})
    assert used(mounted) == -(-120 * 2500 // 1000)


@pytest.mark.parametrize(
    ("text", "code", "key"),
    [
        (policy().replace(PRICES, ""), "limit-prices", "limit[0].unit"),
        (policy(cost=5), "limit-estimate", "limit[0].cost"),
        (policy(unknown_model="refuse"), "policy-unknown-key", "limit[0].unknown_model"),
        (policy() + '[prices]\n"*" = "cheapest"\n', "policy-value", "prices.'*'"),
        (policy() + '[prices]\n"x" = "refuse"\n', "price-refuse", "prices.x"),
        (policy() + '[prices]\n"x" = []\n', "price-long", "prices.x"),
        (policy() + "[prices.x]\nabove = 9\ninput = 1\noutput = 1\n", "price-long", "prices.x.above"),
        (policy() + LONG.format(10, 20) + "request = 1\n", "price-long", "prices.x[2].request"),
        (policy() + "inptu = 3\n", "policy-unknown-key", "prices.large.inptu"),
        (policy() + "[prices.x]\ninput = -1\noutput = 1\n", "policy-value", "prices.x.input"),
        (policy() + "[prices.x]\noutput = 1\n", "policy-missing-key", "prices.x.input"),
        (policy() + LONG.format(20, 10), "price-long", "prices.x"),
        (policy() + LONG.format(10, 10), "price-long", "prices.x"),
        (policy() + TIERS.format("default = 2"), "price-tier", "prices.x.service_tiers"),
        (policy() + TIERS.format("flex = 2, FLEX = 1"), "price-tier", "prices.x.service_tiers"),
        (policy() + TIERS.format("fast = 101"), "policy-value", "prices.x.service_tiers.fast"),
        (policy() + PATTERNS.format("a*c", "ab*"), "price-pattern", "prices.'ab*'"),
        (policy() + PATTERNS.format("*a*", "b*"), "price-pattern", "prices.'b*'"),
    ],
)
def test_policies_that_cannot_be_meant(text: str, code: str, key: str) -> None:
    with pytest.raises(PolicyError) as caught:
        Policy.from_toml(text)
    (problem,) = caught.value.problems
    assert (problem.code, problem.key) == (code, key)


@pytest.mark.parametrize(("one", "other"), [("ab*", "b*a"), ("a*b", "a*c"), ("abc*", "a*"), ("ab*", "ba*")])
def test_patterns_that_fit_no_name_together_or_have_other_lengths(one: str, other: str) -> None:
    loaded = Policy.from_toml(policy() + PATTERNS.format(one, other))
    assert {one, other} <= set(loaded.compiled.prices)


async def test_number_alone_needs_no_list() -> None:
    text = policy().replace(PRICES, "") + ANY.format(3)
    mounted = mount(text, answering(chat("word", CHAT_USAGE)))
    await mounted.client("POST", headers=key("a"))
    assert used(mounted) == 120 * 3
