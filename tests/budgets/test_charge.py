"""Limits that are charged for some statuses alone: reserved on arrival, given back otherwise."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ratelimit import Policy, PolicyError
from ratelimit.budgets.compile import statuses_of
from tests.asgi.driver import mount, rules
from tests.wsgi.test_middleware import Client as WsgiClient

ALGORITHMS = ["fixed-window", "sliding-window", "staggered-window", "sliding-log", "token-bucket"]


def text_of(charge: str = "status>=400", algorithm: str = "fixed-window", **more: Any) -> str:
    lines = f'name = "failures"\nper = "ip"\nrate = "3/year"\nalgorithm = "{algorithm}"\n'
    return rules(lines + f'charge = "{charge}"\n', **more)


def answers(*statuses: int) -> Any:
    """Return an application that answers with these statuses, one after another, then with the last."""
    left = list(statuses)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        status = left.pop(0) if len(left) > 1 else left[0]
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"x"})

    return app


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_failures_are_charged_and_successes_given_back(algorithm: str) -> None:
    subject = mount(text_of(algorithm=algorithm), answers(*[200] * 9, 401, 200, 400, 500, 200))
    assert await subject.client.statuses(9) == [200] * 9
    assert await subject.client.statuses(4) == [401, 200, 400, 500]
    assert await subject.client.statuses(2) == [429, 429]


@pytest.mark.parametrize(
    ("charge", "statuses", "charged"),
    [
        ("status>=400", (200, 302, 399, 400, 404, 599), 3),
        ("status<500", (200, 404, 499, 500, 503), 3),
        ("status=401,403", (200, 400, 401, 403, 500), 2),
        ("status = 404", (200, 404), 1),
    ],
)
async def test_statuses_that_are_charged(charge: str, statuses: tuple[int, ...], charged: int) -> None:
    toml = text_of(charge).replace("3/year", "50/year")
    subject = mount(toml, answers(*statuses))
    await subject.client.statuses(len(statuses))
    last = (await subject.client()).headers["ratelimit"]
    # The request that asks counts while it is under way.
    assert f"r={50 - charged - 1}" in last


async def test_more_guesses_at_once_than_the_limit_are_not_tried() -> None:
    """Hazard: what is charged afterwards is looked at by all requests that arrive at one time."""
    tried, go = [], asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        tried.append(1)
        await go.wait()
        await send({"type": "http.response.start", "status": 401, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    subject = mount(text_of(), app)
    guesses = [asyncio.ensure_future(subject.client()) for _ in range(20)]
    for _ in range(50):
        await asyncio.sleep(0)
    go.set()
    found = [answer.status for answer in await asyncio.gather(*guesses)]
    assert (len(tried), found.count(401), found.count(429)) == (3, 3, 17)


async def test_request_that_never_answers_stays_charged() -> None:
    """Hazard: a client that leaves before the answer would guess for nothing."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.Event().wait()

    subject = mount(text_of("status<400"), app)
    for _ in range(3):
        task = asyncio.ensure_future(subject.client())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    subject.middleware.app = answers(200)
    assert (await subject.client()).status == 429


async def test_application_that_raises_counts_as_500() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError

    subject = mount(text_of("status<500"), app)
    for _ in range(9):
        with pytest.raises(RuntimeError):
            await subject.client()
    subject = mount(text_of("status>=400"), app)
    for _ in range(3):
        with pytest.raises(RuntimeError):
            await subject.client()
    assert (await subject.client()).status == 429


async def test_other_limits_are_charged_as_ever() -> None:
    toml = rules(
        'name = "failures"\nper = "ip"\nrate = "3/year"\ncharge = "status>=400"\nalgorithm = "fixed-window"',
        'name = "all"\nper = "ip"\nrate = "5/year"\nalgorithm = "fixed-window"\n',
    )
    assert await mount(toml, answers(200)).client.statuses(6) == [200] * 5 + [429]
    assert await mount(toml, answers(404)).client.statuses(5) == [404] * 3 + [429] * 2


def test_wsgi_charges_alike() -> None:
    left = ["200 OK"] * 5 + ["401 Unauthorized"] * 9

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response(left.pop(0), [("Content-Type", "text/plain")])
        return [b"ok"]

    client = WsgiClient(text_of(), app)
    found = [client()[0] for _ in range(10)]
    assert found == [200] * 5 + [401] * 3 + [429] * 2


NO_STATUSES = (
    "status|400|status>400|status>=40|status>=4000|status>=600|status<100|status=4xx|status>=400,500"
)
NO_STATUSES += "|status=|status=400,|status==400|state>=400|"


@pytest.mark.parametrize("text", NO_STATUSES.split("|"))
def test_text_that_names_no_statuses_is_an_error(text: str) -> None:
    assert statuses_of(text) == ()
    with pytest.raises(PolicyError) as caught:
        Policy.from_toml(text_of(text))
    assert [problem.code for problem in caught.value.problems] == ["limit-charge"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('rate = "3/year"\nalgorithm = "fixed-window"', "concurrent = 3"),
        ('per = "ip"', 'per = "ip"\nunit = "tokens"'),
        ('per = "ip"', 'per = "ip"\nunit = "distinct:account"'),
        ('per = "ip"', 'per = "ip"\nunit = "messages"'),
    ],
)
def test_limit_without_a_status_of_its_own_is_an_error(before: str, after: str) -> None:
    text = text_of().replace(before, after)
    if "distinct" in after:
        text = text.replace('algorithm = "fixed-window"\n', "")
    with pytest.raises(PolicyError) as caught:
        Policy.from_toml(text)
    assert "limit-charge" in {problem.code for problem in caught.value.problems}


def test_ranges() -> None:
    assert statuses_of("status=403, 401") == ((401, 401), (403, 403))
    assert statuses_of("status<500") == ((100, 499),)
