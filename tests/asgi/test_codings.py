"""The client chooses neither how an answer is measured, nor what a model costs."""

from __future__ import annotations

from typing import Any

import pytest

from ratelimit.asgi.metering.request import readable
from tests.asgi.driver import key, limit, mount, rules
from tests.asgi.metered import answering, policy, posting, used
from tests.usage.answers import JSON, chat, whole


@pytest.mark.parametrize(
    ("accepted", "kept"),
    [
        (b"gzip, deflate, br, zstd", b"gzip, deflate"),
        (b"br", b"identity"),
        (b"*", b"identity"),
        (b"br;q=1.0, GZIP;q=0.5, *;q=0.1", b"GZIP;q=0.5"),
        (b"zstd , dcb,x-gzip", b"x-gzip"),
        (b"", b"identity"),
        (b"gzip", b"gzip"),
    ],
)
def test_accepted_codings_are_those_that_are_read(accepted: bytes, kept: bytes) -> None:
    assert readable(accepted) == kept


@pytest.mark.parametrize(("is_metered", "seen"), [(True, b"gzip"), (False, b"gzip, br")])
async def test_application_sees_no_coding_that_is_not_read(is_metered: bool, seen: bytes) -> None:
    found: list[bytes] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        found.extend(value for name, value in scope["headers"] if name == b"accept-encoding")
        await answering(chat("word", None, asked=False))(scope, receive, send)

    mounted = mount(policy() if is_metered else rules(limit()), app)
    await posting(mounted).send_document({}, [*key("a"), (b"accept-encoding", b"gzip, br")])
    assert found == [seen]


@pytest.mark.parametrize("coding", [b"br", b"zstd", b"gzip, gzip", b"dcb"])
async def test_answer_in_another_coding_costs_its_maximum_at_least(coding: bytes) -> None:
    """Repetitive text was counted 12 to 588 times too little, by its compressed bytes."""
    mounted = mount(policy(most=8192), answering(b"\x00" * 70, headers=[(b"content-encoding", coding)]))
    await posting(mounted).post({"max_tokens": 3000})
    assert used(mounted) == 3000
    await posting(mounted).post({})
    assert used(mounted) == 3000 + 8192


@pytest.mark.parametrize(
    ("usage", "output"),
    [
        ({"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 620}, 520),
        ({"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}, 20),
        ({"completion_tokens": 20, "total_tokens": 900}, 20),
    ],
)
async def test_output_is_at_least_what_the_total_has_beyond_the_input(usage: Any, output: int) -> None:
    """Some providers count reasoning in the total alone: 1,499 of 4,308."""
    body = whole({"choices": [{"index": 0, "message": {"content": "w"}}], "usage": usage})
    mounted = mount(policy(), answering(body, content_type=JSON))
    await posting(mounted).post({})
    assert used(mounted) == output


PRICES = """
[prices.cheap]
input = 1
output = 1
[prices.dear]
input = 1
output = 1000
"""


@pytest.mark.parametrize(
    ("asked", "answered", "micro"),
    [("cheap", "dear", 1000), ("dear", "cheap", 1000), ("cheap", "cheap", 1), ("cheap", "unheard-of", 1)],
)
async def test_price_is_the_dearer_of_the_model_asked_for_and_the_one_that_answered(
    asked: str, answered: str, micro: int
) -> None:
    """A gateway that answers with another model than the request names: $800 on a budget of $10."""
    usage = {"prompt_tokens": 0, "completion_tokens": 100, "total_tokens": 100}
    body = whole({"model": answered, "choices": [{"index": 0, "message": {"content": "w"}}], "usage": usage})
    spend = limit("spend", rate="1/day", unit="usd", usage="auto", cost="learned")
    mounted = mount(rules(spend, more=PRICES), answering(body, content_type=JSON))
    await posting(mounted).post({"model": asked})
    verdict = mounted.middleware.limiter.peek(
        method="POST", identities={"account": "a"}, costs={"usd": 0}
    ).verdicts[0]
    assert 1_000_000 - verdict.remaining == 100 * micro
