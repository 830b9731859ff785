"""Numbers that requests say: a record for each, and one reader for each form.

Theory of operation. A number stands in the row of a request beside the hashes, as itself. A record says all
that any part knows of it: the key that names its source, its place in rows, its member of traces, its words.
The policy's schema, doors, traces, a replay, `explain` and the log go by the records, and name none of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from math import isfinite
from typing import Literal

from ratelimit.facts.sources import number_words

NumberForm = Literal["seconds", "dollars", "units"]
"""The kind of a number: seconds since 1970; dollars, kept as millionths; or units of a limit."""

ABSENT = -1
"""In place of a number, or of an identity's hash, that a request does not have."""
MOST_SECONDS = 2**32 - 1
"""A later instant (in 2106) is no number of seconds: these are milliseconds, perhaps."""
MOST_PAID = 10**15
"""Millionths of a dollar: what is more, counts as so much."""
MOST_UNITS = 2**53
"""Units of a customer's own number: what is more, counts as so much."""
_DIGITS = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?", re.ASCII)
_AMOUNT = re.compile(r"[+-]?[0-9]{1,20}(\.[0-9]{0,20})?([eE][+-]?[0-9]{1,2})?", re.ASCII)


def seconds_of(value: object) -> int | None:
    """Return an instant as whole seconds since 1970; ABSENT if nothing is given, None if it cannot be one.

    Numbers are seconds, and so is their text; fractions are cut. Garbage must make no account older, or
    younger: it counts as not known.
    """
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if isinstance(value, str):
        text = value.strip()
        if not _DIGITS.fullmatch(text):
            return None if text else ABSENT
        value = int(text.partition(".")[0])
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None if value is not None else ABSENT
    if not 0 <= value <= MOST_SECONDS:  # NaN compares false
        return None
    return int(value) or ABSENT


def micros_of(value: object) -> int | None:
    """Return an amount of dollars as whole millionths; ABSENT for none, None for what cannot be one.

    Numbers are dollars, and so is their text. Less than nothing is nothing: more was taken back than paid.
    What is no number opens nothing, and closes nothing: it counts as not known.
    """
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if isinstance(value, str):
        text = value.strip(" \t")
        if not _AMOUNT.fullmatch(text):
            return None if text else ABSENT
        value = float(text)
    if isinstance(value, int) and not isinstance(value, bool):
        return min(max(0, value) * 1_000_000, MOST_PAID)
    if not isinstance(value, (float, Decimal)):
        return None if value is not None else ABSENT
    try:
        dollars = float(value)
    except (ValueError, OverflowError):  # a signalling NaN
        return None
    if not isfinite(dollars):
        return None
    # In this order: the compiled readers round as often.
    return 0 if dollars <= 0 else MOST_PAID if dollars >= 1e9 else int(dollars * 1e6 + 0.5)


def units_of(value: object) -> int | None:
    """Return a number of units as a whole number; ABSENT for none, None for what cannot be one.

    Fractions are cut, and less than nothing is nothing. Text is read as its number.
    """
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if isinstance(value, str):
        text = value.strip(" \t")
        if not _AMOUNT.fullmatch(text):
            return None if text else ABSENT
        value = Decimal(text)
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        return None if value is not None else ABSENT
    try:
        return min(max(0, int(value)), MOST_UNITS)
    except (ValueError, OverflowError):  # NaN, infinity
        return None


READERS: Mapping[NumberForm, Callable[[object], int | None]] = {
    "seconds": seconds_of,
    "dollars": micros_of,
    "units": units_of,
}
"""Readers of any value that an application may have for a number, by the number's form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A number of requests, as those know it that read it."""

    form: NumberForm
    diagnosed_as: str
    """The code of the diagnosis for a value that is not such a number."""
    member: str | None
    """The member of a trace's line, and `NAME=` of `ratelimit explain`; None where a header has it."""

    def read(self, value: object) -> int | None:
        """Return the number by what is given for it; ABSENT for none, None for what is no such number."""
        return READERS[self.form](value)


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberFact(Number):
    """A number that the policy names the source of, in `[correlation]`."""

    key: str
    """Of `[correlation]`, and a shorter `NAME=` of `ratelimit explain`."""
    member: str
    place: str
    """The name of its place in rows: not one that can be declared."""
    is_evidence: bool
    """Whether the correlator alone asks for it, so that it is not read without a principal."""
    what: str
    """Its meaning, for the reference."""
    absent: str
    """The meaning of its absence, for the reference."""
    wrong: str
    """The log's words for a value that is not such a number."""
    forged: str
    """The gain of a client that forges it."""
    unknown: str
    """The words of `explain` for a request that does not say it."""
    known: str
    """The words of `explain` for a request that says it, with `number` and `sources`."""

    @property
    def description(self) -> str:
        """The description of its key."""
        return f"{self.what}: {number_words()}. Traces have it as `{self.member}`. {self.absent}"

    @property
    def diagnosis(self) -> str:
        """The sentence of the log for a value that is no such number."""
        return f"the value that `[correlation] {self.key}` names was {self.wrong}, and counted as not known."


CREATED = NumberFact(
    key="created",
    place="account created",
    member="account_created",
    form="seconds",
    diagnosed_as="created-type",
    is_evidence=True,
    what="When the account was created, in seconds since 1970",
    absent="Default: an account is as old as its first request.",
    wrong="no number of seconds since 1970 (milliseconds, a date in words?)",
    forged="would be as old as it likes",
    unknown="the account is as old as its first request",
    known="created {number} UTC",
)
PAID = NumberFact(
    key="paid",
    place="dollars paid",
    member="paid_usd",
    form="dollars",
    diagnosed_as="paid-type",
    is_evidence=False,
    what="Dollars that the account's payer has paid in the last 30 days, refunds and charge-backs taken off",
    absent="For limits with `per_usd`; 0 is nothing paid, an absent value is not known.",
    wrong="no number of dollars (a currency sign, NaN?)",
    forged="would have paid what it likes",
    unknown="not known",
    known="{number} paid in the last 30 days, says {sources}",
)

FACTS: tuple[NumberFact, ...] = (CREATED, PAID)
"""All of them, in the order of their places in rows."""
BY_PLACE: Mapping[str, NumberFact] = {fact.place: fact for fact in FACTS}
