"""Attacks by name, each over a month: found by hand and by searches.

Each is written in the words of the adversary's grammar, so that it has a bill, and a search can vary it.
"""

from __future__ import annotations

from benchmarks.correlation.adversary.attack import Attack, Part

_MUCH = 90_000.0


def _one(accounts: int, a_day: float, **changed: object) -> Attack:
    return (Part(accounts, a_day, **changed),)  # type: ignore[arg-type]


ATTACKS: dict[str, Attack] = {
    # Accounts: new, bought, left to age.
    "one account, one card": _one(1, _MUCH),
    "one bought account": _one(1, 430_000, aged=True),
    "five bought accounts, a card each": _one(5, _MUCH, aged=True),
    "five accounts left to age": _one(5, 20_000, per_card=5, waits=31),
    "five accounts left to age, a card each": _one(5, 20_000, waits=31),
    "twenty bought accounts on one card": _one(20, 5000, aged=True, per_card=20),
    "an old account opens for seven new": (
        Part(1, 24, aged=True),
        Part(7, 9000, per_card=7, shares_card=True),
    ),
    "a third of the accounts old": (
        Part(10, 3000, aged=True, per_card=5, exits="rotating homes"),
        Part(20, 3000, per_card=5, exits="rotating homes"),
    ),
    "busy for a month before": _one(1, _MUCH, waits=40, busy=True),
    "ten cards busy for a month before": _one(10, _MUCH, waits=40, busy=True),
    # Payment methods of one's own.
    "20 cards, 20 accounts, one address": _one(20, 9000),
    "20 cards, ten accounts each, one address": _one(200, 900, per_card=10),
    "20 cards, a home each": _one(20, 9000, exits="homes"),
    "20 cards, an IPv6 prefix": _one(20, 9000, exits="prefix"),
    "20 cards, renewed each three days": _one(20, 9000, renewed=3),
    "one card, nine accounts in a home": _one(9, 900, per_card=9, exits="homes", addresses=9),
    "twelve cards, rotating homes": _one(120, 600, per_card=10, exits="rotating homes"),
    "forty cards, rotating homes": _one(200, 900, per_card=5, exits="rotating homes"),
    "small farm: 4 cards, 70 accounts, 40 exits": _one(
        70, 900, per_card=18, exits="homes", addresses=2
    ),
    # Dollars of one's own, kept or taken back.
    "ten cards that pay $10": _one(10, _MUCH, usd=10),
    "ten cards that pay $15": _one(10, _MUCH, usd=15),
    "one card that pays $200": _one(1, 430_000, usd=200),
    "one card that pays $200 for two months": _one(1, 430_000, usd=200, waits=31, busy=True),
    "ten cards that pay $10, taken back": _one(10, _MUCH, usd=10, charged_back=True),
    "ten cards that pay $15, taken back": _one(10, _MUCH, usd=15, charged_back=True),
    "seen 31 days before, pays $500, taken back": _one(
        1, 430_000, usd=500, charged_back=True, waits=31
    ),
    "busy 31 days before, pays $100, taken back": _one(
        1, 430_000, usd=100, charged_back=True, waits=31, busy=True
    ),
    # Stolen cards of customers.
    "two stolen cards, four accounts each": _one(8, 9000, pays="stolen", per_card=4),
    "twelve stolen cards, rotating homes": _one(
        120, 900, pays="stolen", per_card=10, exits="rotating homes"
    ),
    "stolen cards that wait 31 days": _one(4, _MUCH, pays="stolen", waits=31),
    "stolen cards that pay $15": _one(4, _MUCH, pays="stolen", usd=15),
    "a stolen card that waits and pays $500": _one(1, 430_000, pays="stolen", usd=500, waits=31),
    "stolen cards, a carrier's phones": _one(4, _MUCH, pays="stolen", exits="phones"),
    "stolen cards, SIM cards": _one(4, _MUCH, pays="stolen", exits="SIM cards"),
    "stolen cards, homes beside their owners'": _one(4, _MUCH, pays="stolen", exits="victims' homes"),
    # Payers of others: resellers, coupons, referrers.
    "sixty accounts at a reseller": _one(60, 3000, pays="reseller", per_card=60),
    "one account at each of six resellers": _one(6, 9000, pays="reseller"),
    "an account at a reseller that waits": _one(1, 430_000, pays="reseller", waits=31),
    "a bought account of a reseller's customer": _one(1, 430_000, aged=True, pays="reseller"),
    "accounts at a reseller, on phones": _one(20, 9000, pays="reseller", per_card=20, exits="phones"),
    "accounts at a reseller, on SIM cards": _one(
        20, 9000, pays="reseller", per_card=20, exits="SIM cards"
    ),
    "four coupons that got about": _one(4, 9000, pays="coupon"),
    "sixty accounts on a coupon": _one(60, 3000, pays="coupon", per_card=60),
    "twenty referrers of one's own": _one(20, 9000, pays="referrer"),
    "referrers that wait": _one(20, 9000, pays="referrer", waits=40, busy=True),
    # Nobody pays.
    "twenty free accounts, one address": _one(20, 3000, pays="nobody"),
    "nine free accounts a home": _one(180, 310, pays="nobody", exits="homes", addresses=9),
    "free accounts, rotating homes": _one(200, 310, pays="nobody", exits="rotating homes"),
    "free accounts, an IPv6 prefix": _one(200, 310, pays="nobody", exits="prefix"),
    "free accounts, a wide IPv6 prefix": _one(200, 310, pays="nobody", exits="wide prefix"),
    "free accounts, phones": _one(200, 310, pays="nobody", exits="phones"),
    "free accounts, renewed each three days": _one(
        100, 310, pays="nobody", exits="homes", addresses=9, renewed=3
    ),
    "split over all payers": (
        Part(6, 3000, pays="cards"),
        Part(12, 3000, pays="reseller", per_card=2),
        Part(60, 310, pays="nobody", exits="homes", addresses=9),
    ),
}  # fmt: skip
