"""Each form of usage is charged to the millionth of a dollar: by kind of tokens, tier, search and picture."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import pytest

from tests.asgi.driver import limit, mount, rules
from tests.asgi.metered import answering, posting
from tests.usage.forms import FORMS, LATER, Form
from tests.usage.further_forms import FURTHER

RATES = {
    "input": "2",
    "output": "8",
    "cache_read": "0.5",
    "cache_write": "2.5",
    "cache_write_1h": "4",
    "audio_input": "40",
    "audio_cache_read": "2.5",
    "audio_output": "80",
    "image_input": "2.25",
    "image_output": "30",
}
IN_PAIRS = {"cache_write_1h": "cache_write", "audio_cache_read": "audio_input"}
TIERS = {"priority": Fraction(7, 4), "flex": Fraction(1, 2), "batch": Fraction(1, 2)}
SEARCH, IMAGE = 10_000, 40_000
"""Millionths of a dollar."""
POLICY = rules(
    limit("spend", rate="2000/day", unit="usd", usage="auto", cost="declared", algorithm="fixed-window")
) + "\n".join(
    (
        '\n[prices."*"]',
        *(
            f"{key} = {dollars}"
            for key, dollars in RATES.items()
            if key not in {*IN_PAIRS, *IN_PAIRS.values()}
        ),
        *(f"{first} = [{RATES[first]}, {RATES[second]}]" for second, first in IN_PAIRS.items()),
        "search = 0.01",
        "image = 0.04",
        "service_tiers = { priority = 1.75, flex = 0.5, batch = 0.5 }",
    )
)
BUDGET = 2_000_000_000


def dollars_of(form: Form) -> int:
    """Return the millionths of a dollar that a form costs, by its provider or by the list."""
    if form.dollars is not None:
        return ceil(Fraction(str(form.dollars)) * 10**6)
    used = form.usage
    rate = {key: Fraction(dollars) for key, dollars in RATES.items()}
    tokens = (
        (used.fresh_input - used.audio_input - used.image_input) * rate["input"]
        + used.audio_input * rate["audio_input"]
        + used.image_input * rate["image_input"]
        + (used.cache_read - used.audio_cache_read) * rate["cache_read"]
        + used.audio_cache_read * rate["audio_cache_read"]
        + (used.cache_write - used.cache_write_1h) * rate["cache_write"]
        + used.cache_write_1h * rate["cache_write_1h"]
        + (used.output - used.audio_output - used.image_output) * rate["output"]
        + used.audio_output * rate["audio_output"]
        + used.image_output * rate["image_output"]
    )
    tier = TIERS.get(form.tier or "", Fraction(1))
    return ceil(tokens * tier) + used.searches * SEARCH + used.images * IMAGE


def is_one_answer(form: Form) -> bool:
    """Return whether a form is one response, exact without anything that its request says."""
    return form.certainty == "exact" and isinstance(form.body, bytes) and not form.asked and not form.headers


PRICED = [form for form in (*FORMS, *LATER, *FURTHER) if is_one_answer(form)]


@pytest.mark.parametrize("form", PRICED, ids=lambda form: form.name)
async def test_form_costs_what_its_provider_charges(form: Form) -> None:
    assert isinstance(form.body, bytes)
    mounted = mount(POLICY, answering(form.body, content_type=form.content_type))
    await posting(mounted).post({"max_tokens": 1})
    decision = mounted.middleware.limiter.peek(method="POST", identities={"account": "a"}, costs={"usd": 0})
    found = BUDGET - decision.verdicts[0].remaining
    # Several responses are rounded up one by one.
    assert 0 <= found - dollars_of(form) <= 2
    mounted.middleware.limiter.close()
