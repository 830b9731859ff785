"""Conduct: a factor between a floor and 1 on limits of an account or a cluster, in one word.

A strike halves the factor. What was lost comes back with a half-life of ten minutes, which doubles with
each strike that is not forgotten, up to seven days. A loop that calls through refusals may be a bug that is
mended after some minutes, so there the first ten strikes leave the half-life as it is, and further ones
double it in pairs. So one mistaken strike is over within the hour, and a bug of ten minutes, too. An
account that strikes again and again stays at the floor for weeks. Growing with the count, capped, is
fail2ban's `bantime.increment`; that a factor decays instead of a ban ending is our own.

The word, from its lowest bit: 16 bits of what was lost in 1/65535, 8 bits of strikes in eighths, 3 bits of
the kinds that struck lately, a bit for words of calls. The upper 32 bits are the second of the last change.
Idle state is no state: 0 is the word of an account that never struck.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from math import ceil, log2

SECOND_NS = 10**9
FLOOR = 0.1
HALF_LIFE_S = 600
MOST_HALF_LIFE_S = 7 * 86_400
FORGET_S = 7 * 86_400
"""Half-life of the strikes themselves."""
BETWEEN_S = 60
"""A kind strikes again only after so long."""
WHOLE = 0xFFFF
HARMLESS = WHOLE // 100
"""What is lost below a hundredth is not lost."""
EIGHTHS = 8
FREE_EIGHTHS = 10 * EIGHTHS
"""Strikes by calls that leave the half-life as it is: as many as ten minutes can have."""
MOST_EIGHTHS = 0xFF
MOST_SECOND = 0xFFFF_FFFF


class Strike(IntEnum):
    """Events that strike. None that an honest crowd shows as well, such as even or long answers."""

    PERSISTS = 0
    """It keeps calling through refusals, beyond what `Retry-After` allows."""
    GROWS = 1
    """Its actor got more accounts."""
    SURER = 2
    """The correlator's verdict on it rose."""


@dataclass(frozen=True, slots=True)
class Conduct:
    """The word, taken apart.

    Args:
        lost: how much of the factor was lost at the last change, in 1/65535.
        eighths: strikes that were not forgotten then, in eighths.
        kinds: bits of the kinds that struck lately.
        changed_s: second of the last change.
        by_calls: whether calls through refusals struck, at one limit.
    """

    lost: int = 0
    eighths: int = 0
    kinds: int = 0
    changed_s: int = 0
    by_calls: bool = False

    def pack(self) -> int:
        """Return the word."""
        return self.lost | self.eighths << 16 | self.kinds << 24 | self.by_calls << 27 | self.changed_s << 32

    @classmethod
    def unpack(cls, word: int) -> Conduct:
        """Take a word apart; any 64 bits are a word."""
        by_calls = bool(word >> 27 & 1)
        return cls(word & WHOLE, word >> 16 & 0xFF, word >> 24 & 0x7, word >> 32 & MOST_SECOND, by_calls)

    @property
    def half_life_s(self) -> float:
        """The half-life of what was lost, in seconds."""
        beyond, doubles = max(0, self.eighths - EIGHTHS), EIGHTHS
        if self.by_calls:
            beyond, doubles = max(0, self.eighths - FREE_EIGHTHS), 2 * EIGHTHS
        return float(min(MOST_HALF_LIFE_S, HALF_LIFE_S * 2 ** (beyond / doubles)))


@dataclass(frozen=True, slots=True)
class News:
    """The strikes on a host, for the others.

    Args:
        now_ns: when.
        key: the account's, the cluster's, or that of an account at a limit.
        kind: what struck; `SURER` with an `owner`: the account was seen in this cluster.
        owner: the cluster of an account, or the account of a key at a limit; 0: none.
    """

    now_ns: int
    key: int
    kind: Strike
    owner: int = 0


@dataclass(frozen=True, slots=True)
class Shared:
    """The knowledge of all hosts about a key: its word, and its owner as `News` has it, 0 for none."""

    key: int
    word: int
    owner: int

    @property
    def is_at_limit(self) -> bool:
        """True if the key is that of an account at a limit."""
        return Conduct.unpack(self.word).by_calls


@dataclass(frozen=True, slots=True)
class Struck:
    """The meaning of a word at an instant, for people.

    Args:
        factor: what is left, from `FLOOR` to 1.
        strikes: those that are not forgotten; older ones count in part.
        kinds: what struck last, within one minute.
        ago_s: seconds since then.
        recovers_s: seconds until enough is left again; 0 where it is.
    """

    factor: float
    strikes: float
    kinds: tuple[Strike, ...]
    ago_s: int
    recovers_s: int


def struck(word: int, now_ns: int, enough: float = 1.0) -> Struck | None:
    """Return what a word says; None of one that says nothing any more.

    Args:
        word: any 64 bits.
        now_ns: when.
        enough: the factor that more than this is as good as 1.
    """
    if is_idle(word, now_ns):
        return None
    was, now_s = Conduct.unpack(word), _second(now_ns)
    # The first second when less than this is lost, as `factor` has it.
    harmless = max(HARMLESS + 1, ceil((1.0 - enough) * WHOLE))
    lasts_s = int(was.half_life_s * log2(was.lost / harmless)) + 1 if was.lost >= harmless else 0
    return Struck(
        factor(word, now_ns),
        _eighths(was, now_s) / EIGHTHS,
        tuple(kind for kind in Strike if was.kinds & 1 << kind),
        max(0, now_s - was.changed_s),
        max(0, was.changed_s + lasts_s - now_s) if lasts_s else 0,
    )


def factor(word: int, now_ns: int) -> float:
    """Return the factor, from `FLOOR` to 1; it never falls by the passing of time."""
    return max(FLOOR, 1.0 - _lost(Conduct.unpack(word), _second(now_ns)) / WHOLE)


def whole_strikes(word: int, now_ns: int) -> int:
    """Return how many strikes are not forgotten, in whole ones; 0 where nothing is lost any more."""
    was, now_s = Conduct.unpack(word), _second(now_ns)
    if not _lost(was, now_s):
        return 0
    return max(1, (_eighths(was, now_s) + EIGHTHS // 2) // EIGHTHS)


def strike(word: int, kind: Strike, now_ns: int) -> int:
    """Return the word after a strike; the same where that kind struck within the minute.

    A clock that stepped back changes nothing but the second.
    """
    now_s = _second(now_ns)
    was = Conduct.unpack(word)
    kinds = _kinds(was, now_s)
    bit = 1 << kind
    if kinds & bit:
        return word
    kept = max(FLOOR, (1.0 - _lost(was, now_s) / WHOLE) / 2)
    lost = round((1.0 - kept) * WHOLE)
    eighths = min(MOST_EIGHTHS, _eighths(was, now_s) + EIGHTHS)
    return Conduct(lost, eighths, kinds | bit, now_s, was.by_calls or kind is Strike.PERSISTS).pack()


def merge(first: int, second: int, now_ns: int) -> int:
    """Return the word of two that are one actor: the worse of each.

    Laws: in either order, in any grouping at one instant; never a larger factor than either has.
    """
    now_s = _second(now_ns)
    one, other = Conduct.unpack(first), Conduct.unpack(second)
    lost = max(_lost(one, now_s), _lost(other, now_s))
    eighths = max(_eighths(one, now_s), _eighths(other, now_s))
    kinds = _kinds(one, now_s) | _kinds(other, now_s)
    if not lost and not eighths:
        return 0
    return Conduct(lost, eighths, kinds, now_s, one.by_calls or other.by_calls).pack()


def mark(word: int, now_ns: int) -> int:
    """Return the word of an account that struck at a limit: one that says nothing, and is not 0."""
    return word or Conduct(changed_s=_second(now_ns)).pack()


def split(word: int) -> tuple[int, int]:
    """Return the words of two that were one actor: both keep its conduct."""
    return word, word


def is_idle(word: int, now_ns: int) -> bool:
    """Return whether a word may be forgotten: nothing is lost and no strike counts."""
    was = Conduct.unpack(word)
    now_s = _second(now_ns)
    return not _lost(was, now_s) and not _eighths(was, now_s)


def _second(now_ns: int) -> int:
    return min(max(now_ns // SECOND_NS, 0), MOST_SECOND)


def _lost(was: Conduct, now_s: int) -> int:
    elapsed_s = max(0, now_s - was.changed_s)
    lost = int(was.lost * 2 ** (-elapsed_s / was.half_life_s))
    return lost if lost > HARMLESS else 0


def _eighths(was: Conduct, now_s: int) -> int:
    return int(was.eighths * 2 ** (-max(0, now_s - was.changed_s) / FORGET_S))


def _kinds(was: Conduct, now_s: int) -> int:
    return was.kinds if now_s - was.changed_s < BETWEEN_S else 0
