"""The bill of an attack for a month, by the price list of `families.price`."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.correlation.adversary.attack import Attack, Part
from benchmarks.correlation.families.price import (
    ACCOUNT,
    AGED_ACCOUNT,
    HOSTED_ADDRESS,
    MOBILE_GB,
    NETWORK,
    PAYMENT_METHOD,
    PREFIX,
    REQUEST_GB,
    RESIDENTIAL_GB,
    STICKY_EXIT,
)

STOLEN = 15.0
"""A card that was stolen, of somebody who pays here already."""
RESOLD = 1.0
"""A reseller's price for an account, beside the account itself."""
ENOUGH = 1.2
"""Budgets above which there is a further one to be priced."""
WIDE_PREFIX = 25.0
"""A month of an IPv6 /40 that is announced: 256 networks."""
SIM, SIM_GB = 25.0, 100.0
"""A flat rate of a carrier whose addresses its customers share, and what it bears in a month."""
OWNERS_HOME = 10.0
"""An exit in a home that is chosen: in the network of somebody whose card was stolen."""


@dataclass(frozen=True, slots=True)
class Bill:
    """Dollars a month.

    Args:
        total: all of it.
        accounts: of that, as many new accounts: with or without a limiter those are needed.
    """

    total: float
    accounts: float

    def further(self, budgets: float) -> float | None:
        """Return dollars for each budget beyond the first; None without a second budget."""
        return (self.total - self.accounts) / (budgets - 1) if budgets > ENOUGH else None

    def with_accounts(self, budgets: float) -> float | None:
        """Return the same with new accounts counted."""
        return self.total / (budgets - 1) if budgets > ENOUGH else None


def bill(attack: Attack) -> Bill:
    """Return what an attack pays: what it buys once, and a month of exits; more where it was busy before."""
    paid = sum(_payers(part, at) + _accounts(part) + _exits(part) for at, part in enumerate(attack))
    return Bill(paid, sum(ACCOUNT * part.accounts * part.waves for part in attack))


def _accounts(part: Part) -> float:
    return part.accounts * part.waves * (AGED_ACCOUNT if part.aged else ACCOUNT)


def _payers(part: Part, at: int) -> float:
    if part.pays in ("nobody", "coupon", "referrer"):
        return 0.0
    if part.pays == "reseller":
        return RESOLD * part.accounts * part.waves
    if part.pays == "stolen":
        return STOLEN * part.cards
    # One's own dollars are spent, unless they are taken back; a card is spent with each wave.
    months = 1 + part.waits / 30 * part.busy
    own = 0.0 if part.charged_back else part.usd * part.cards * (months if not part.renewed else part.waves)
    return own + (0.0 if part.shares_card and at > 0 else PAYMENT_METHOD * part.cards * part.waves)


def _exits(part: Part) -> float:
    months = 1 + part.waits / 30 * part.busy
    by_volume = part.accounts * part.a_day * 30 * REQUEST_GB
    if part.exits == "address":
        return (NETWORK + HOSTED_ADDRESS) * months
    if part.exits == "pool":
        return (NETWORK * max(1, part.addresses // 64) + HOSTED_ADDRESS * part.addresses) * months
    if part.exits == "prefix":
        return PREFIX * months
    if part.exits == "wide prefix":
        return WIDE_PREFIX * months
    if part.exits == "SIM cards":
        return SIM * -(-by_volume // SIM_GB) * months
    if part.exits == "homes":
        return (STICKY_EXIT * -(-part.accounts // part.addresses) + NETWORK) * months
    if part.exits == "victims' homes":
        return (OWNERS_HOME * part.cards + NETWORK) * months
    return ((MOBILE_GB if part.exits == "phones" else RESIDENTIAL_GB) * by_volume + NETWORK) * months
