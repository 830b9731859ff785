"""Compiled metering equals the reference in plain Python: estimates, readings, declarations, prices."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ratelimit.usage.histogram import Histogram, Shares
from ratelimit.usage.learned import KEPT_NS, MOST_ROUTES, UNHEEDED_NS, Learned
from ratelimit.usage.prices import Price, PriceList
from ratelimit.usage.report import Usage, reader_of, reading_of, seen_output, usage_so_far
from ratelimit.usage.request import Body, fields_of, model_in_path
from ratelimit.usage.shapes import SHAPES
from tests.usage.answers import ANSWERS, LONG
from tests.usage.forms import FORMS, LATER
from tests.usage.further_forms import FURTHER
from tests.usage.reference import histogram, learned, prices, report, request, shares

NOW_NS = 1_700_000_000 * 10**9
AMOUNTS = st.integers(0, 2**31) | st.integers(0, 40) | st.just(2**40)


@given(st.integers(1, 255), st.lists(AMOUNTS, max_size=300), st.integers(0, 100))
def test_histogram(most: int, amounts: list[int], percent: int) -> None:
    ours, theirs = Histogram(most), histogram.Histogram(most)
    for amount in amounts:
        ours.add(amount)
        theirs.add(amount)
    assert (ours.total, ours.quantile(percent)) == (theirs.total, theirs.quantile(percent))


@given(st.lists(st.tuples(st.integers(0, 300), AMOUNTS), max_size=400), st.integers(0, 100))
def test_shares(samples: list[tuple[int, int]], percent: int) -> None:
    ours, theirs = Shares(), shares.Shares()
    for account, amount in samples:
        ours.add(account, amount)
        theirs.add(account, amount)
    assert len(ours) == len(theirs)
    assert list(ours.weights) == theirs._weights
    assert ours.quantile(percent) == theirs.quantile(percent)


@pytest.mark.parametrize("seed", range(20))
def test_learned(seed: int) -> None:
    random = Random(f"learned {seed}")
    most = random.choice((3, 20, 10_000))
    ours, theirs = Learned(most), learned.Learned(most)
    accounts, routes = random.choice((2, 8, 300)), random.choice((1, 3, 5))
    now_ns = NOW_NS
    for _ in range(3000):
        now_ns += random.choice(
            (0, 1, 10**9, -(10**9), UNHEEDED_NS // 100, KEPT_NS if random.random() < 0.02 else 0)
        )
        account, route = (random.randrange(accounts),), ("limit", f"/{random.randrange(routes)}", None)
        amount = random.choice((0, 1, 4, 5, 300, 4096, 10**6, 2**31, random.randrange(2000)))
        by, most_units = random.choice((1, 2, 3)), random.choice((0, 100, 10**6, 2**60))
        said = random.choice((None, amount, 10 * amount, 2**31))
        first = random.choice((None, 0, 77, 2**60))
        act = random.randrange(4)
        if act == 0:
            ours.learn(account, route, amount, now_ns)
            theirs.learn(account, route, amount, now_ns)
        elif act == 1:
            told = random.choice((0, 1, 100, 2**31))
            ours.heed(account, route[1], by, told, amount, now_ns)
            theirs.heed(account, route[1], by, told, amount, now_ns)
        asked = account, route, said, now_ns, first, most_units
        assert ours.estimate(*asked) == theirs.estimate(*asked)
        held = route, amount, first, most_units
        assert ours.reserved(*held) == theirs.reserved(*held)
        heeded = account, route[1], by, now_ns
        assert ours.is_heeded(*heeded) == theirs.is_heeded(*heeded)
    assert len(ours) == len(theirs)
    assert ours.sizes["exceeded"] == len(theirs._exceeded)


def test_learned_forgets_the_same_routes() -> None:
    ours, theirs = Learned(50), learned.Learned(50)
    for number in range(2 * MOST_ROUTES):
        route = number * 7919 % 1500
        for one in (ours, theirs):
            one.learn(number % 60, route, number, NOW_NS)
            one.heed(number % 60, route, 1, 1, number, NOW_NS)
    for route in range(1500):
        asked = 7, route, None, NOW_NS
        assert ours.estimate(*asked) == theirs.estimate(*asked)
        assert ours.is_heeded(7, route, 1, NOW_NS) == theirs.is_heeded(7, route, 1, NOW_NS)
    assert ours.sizes["votes"] == len(theirs._votes)


NUMBERS = st.integers(0, 10**12) | st.integers(0, 5)
COUNTS = st.integers(0, 2**40) | st.integers(0, 5)


RATES = st.lists(NUMBERS, min_size=10, max_size=10).map(tuple)
TIERS = ("batch", "flex", "priority", "fast", "default")


@given(
    RATES,
    st.lists(NUMBERS, min_size=3, max_size=3).map(tuple),
    st.dictionaries(st.integers(1, 2**21), RATES, max_size=8).map(lambda bands: tuple(sorted(bands.items()))),
    st.dictionaries(st.sampled_from(TIERS[:4]), st.integers(0, 10**8), max_size=3).map(
        lambda tiers: tuple(sorted(tiers.items()))
    ),
    st.lists(COUNTS | st.integers(2**20, 2**21), min_size=12, max_size=12),
    st.sampled_from((None, *TIERS)),
)
def test_price(rates: Any, fees: Any, bands: Any, tiers: Any, counts: list[int], tier: str | None) -> None:
    counts[4] = min(counts[4], counts[1])
    parts = rates, fees, bands, tiers
    ours, theirs = Price(*parts), prices.Price(*parts)
    cost = ours.cost_micro(Usage(*counts), tier)
    assert cost == min(2**60, theirs.cost_micro(report.Usage(*counts), tier))
    assert ours.is_free == theirs.is_free
    # The worst case is never below what is charged; of searches it knows nothing.
    read, output, images = counts[0] + counts[1] + counts[2], counts[3], counts[11]
    assert ours.worst_micro(read, output, images) == min(2**60, theirs.worst_micro(read, output, images))
    if not counts[10]:
        assert cost <= ours.worst_micro(read, output, images)


@pytest.mark.parametrize(
    "model", ["a", "A ", "a-20240101", "A-latest", "b-2024-07-18-v2:0", "c", "", "d" * 500]
)
def test_model(model: str) -> None:
    rates = {"a": (1, 2, 3, 4, 5), " A": (9, 1, 9, 1, 9), "b": (1, 1, 1, 1, 1), "c-latest": (7, 7, 7, 7, 7)}
    known = {name: numbers * 2 for name, numbers in rates.items()}
    ours = PriceList({name: Price(numbers) for name, numbers in known.items()})
    theirs = prices.PriceList({name: prices.Price(numbers) for name, numbers in known.items()})
    for _ in range(2):  # the second time it is remembered
        mine, other = ours.find(model), theirs.find(model)
        numbers = None if other is None else (((0, other.rates),), other.fees, other.tiers)
        assert (None if mine is None else mine.parts) == numbers


@pytest.mark.parametrize("seed", range(30))
def test_reading(seed: int) -> None:
    """Answers of all providers that are cut, mixed and told to be of another form."""
    random = Random(f"reading {seed}")
    bodies = [*(answer.body for answer in ANSWERS), LONG, b"data: words\n\n", b"{", b""]
    forms = [form.body for form in (*FORMS, *LATER, *FURTHER) if isinstance(form.body, bytes)]
    bodies += [body for body in forms if len(body) < 20_000]
    for _ in range(60):
        body = b"".join(random.choice(bodies) for _ in range(random.choice((1, 1, 2))))
        if random.random() < 0.4:
            body = body[: random.randrange(len(body) + 1)]
        media = random.choice(
            (
                *(b"", b"text/plain", b"application/json", b"text/event-stream", b"Text/Event-Stream ;x"),
                *(b"application/x-ndjson", b"application/vnd.amazon.eventstream", b"image/png", b"a/b+json"),
            )
        )
        shape, is_encoded = random.choice(SHAPES), random.random() < 0.05
        ours = reader_of(shape, media, is_encoded=is_encoded)
        theirs = report.reader_of(shape, media, is_encoded=is_encoded)
        assert (ours is None) == (theirs is None)
        if ours is None or theirs is None:
            continue
        asked = random.choice((1, 2, 3)), random.choice((0, 1, 4)), random.choice((-1, 20, 200))
        is_echo = random.random() < 0.2
        ours.expect(*asked, 900, is_echo)
        theirs.expect(*asked, 900, is_echo)
        size = random.choice((1, 13, 10**6))
        for at in range(0, len(body), size):
            ours.feed(body[at : at + size])
            theirs.feed(body[at : at + size])
            if random.random() < 0.1:
                assert seen_output(ours) == report.seen_output(theirs)
                assert units(usage_so_far(ours)) == units(report.usage_so_far(theirs))
        is_complete, unread = random.random() < 0.7, random.choice((0, 0, 0, 999))
        mine = reading_of(ours, is_complete=is_complete, unread=unread)
        other = report.reading_of(theirs, is_complete=is_complete)
        if unread:
            other = report.at_least(other, unread)
        assert (mine.certainty, mine.has_input) == (other.certainty, other.has_input)
        assert units(mine.usage) == units(other.usage)


def units(usage: Any) -> Any:
    return {**usage.units, "hour": usage.cache_write_1h}


KEYS = (
    *("max_tokens", "max_completion_tokens", "max_output_tokens", "max_tokens_to_sample", "n", "best_of"),
    *("prompt", "stream", "model", "generationConfig", "maxOutputTokens", "candidateCount", "options"),
    *("num_predict", "other"),
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 2**64) | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)
PATHS = (
    "/v1/chat/completions",
    "/v1/messages/",
    "/v1/models/g:generateContent",
    "/responses",
    "/",
    "",
    "/x" * 300,
)


@settings(max_examples=300)
@given(
    st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=6),
    st.sampled_from(("", "\ufeff", " ", "[", "x")),
    st.sampled_from(PATHS),
    st.integers(1, 60),
    st.sampled_from((20, 10**6)),
    st.booleans(),
)
def test_request(document: Any, before: str, path: str, step: int, most: int, is_whole: bool) -> None:
    raw = (before + json.dumps(document)).encode()
    assert fields_of(path) == request.fields_of(path)
    ours, theirs = Body(most, fields_of(path)), request.Body(most, request.fields_of(path))
    for at in range(0, len(raw), step):
        more = ours.feed(raw[at : at + step])
        assert more == theirs.feed(raw[at : at + step])
        if not more:
            break
    mine, other = ours.declared(is_whole=is_whole), theirs.declared(is_whole=is_whole)
    assert (mine.output, mine.model, mine.is_stream, mine.size, mine.by) == (
        other.output, other.model, other.is_stream, other.size, other.by,
    )  # fmt: skip
    assert model_in_path(path) == request.model_in_path(path)
