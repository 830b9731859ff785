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


def bill(attack: Attack) -> Bill:
    """Return what an attack pays."""
    paid = sum(_payers(part, at) + _accounts(part) + _exits(part) for at, part in enumerate(attack))
    return Bill(paid, ACCOUNT * sum(part.accounts for part in attack))


def _accounts(part: Part) -> float:
    return part.accounts * (AGED_ACCOUNT if part.aged else ACCOUNT)


def _payers(part: Part, at: int) -> float:
    if part.pays == "nobody" or (part.shares_card and at > 0 and part.pays == "cards"):
        return 0.0
    if part.pays == "reseller":
        return RESOLD * part.accounts
    return (STOLEN if part.pays == "stolen" else PAYMENT_METHOD) * part.cards


def _exits(part: Part) -> float:
    by_volume = part.accounts * part.a_day * 30 * REQUEST_GB
    if part.exits == "address":
        return NETWORK + HOSTED_ADDRESS
    if part.exits == "pool":
        return NETWORK * max(1, part.addresses // 64) + HOSTED_ADDRESS * part.addresses
    if part.exits == "prefix":
        return PREFIX
    if part.exits == "homes":
        return STICKY_EXIT * part.accounts + NETWORK
    return (MOBILE_GB if part.exits == "phones" else RESIDENTIAL_GB) * by_volume + NETWORK
