"""One act of the operator's, as every worker of every host understands it.

Rules it keeps:

- An act names accounts by keyed hashes. No value is in it, but for the name of an organisation and the
  reason, which the operator wrote.
- An act is never changed. `undo` is an act of its own; one with an end lapses by itself. Nothing else ends
  one.
- Logs are sets: two of them are joined without loss and in any order (`merged`), so any copy restores all.
- What is read is checked: a line that is no act of this release and hash key is left out.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Annotated

import msgspec
from msgspec import Meta

from ratelimit.parsing.json import JsonReader
from ratelimit.stores.acts.kinds import BY_KIND, ActKind

MOST_ACTS = 512
"""How many are kept; of more, the oldest that are not in force go first, then the oldest."""
MOST_IN_FORCE = 256
"""Of those that change what is decided."""
MOST_ACCOUNTS = 100
"""In one act."""
MOST_SAID = 600
MOST_NUMBERS = 16
"""Limits in one act."""
LONGEST_LINE = 8192


class Act(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One act.

    Attributes:
        number: grows with each act of a log.
        tag: four letters behind the number of an act that was made without the log of all hosts, where
            another host may give the same number.
        kind: what was done, by the name of a record of `kinds`.
        at_ns: when, since 1970.
        by: the user and host that the command ran as.
        key: which hash key the hashes are made with.
        accounts: of `exempt-limits`, `stop` and budgets hashes of an identity's value, else of principals.
        identity: of these, the identity's name.
        payments: of `organisation`, hashes of payment methods.
        networks: of `organisation`, hashes of addresses, networks and blocks.
        name: of `organisation`, its name; of units that were given back, the tier whose units they are.
        numbers: of budgets, units by the name of a limit.
        says: of budgets, the same in words. Of `undo`, the label of the act that is taken back.
            Of `exempt` and `clear`, the ids of the actors that the accounts were in.
        after: of payments into a lifetime, by the name of its limit what the server said of the balance then.
        until_ns: when it lapses; None for never. Of `undo`, when the act that it takes back would have.
        reason: why, as the operator wrote it.
        undoes: of `undo`, the number of the act that is taken back.
        undoes_ns: of `undo`, when that one was made.
        once: of a call that is repeated until it is answered, hashes of its name, of what it asks, and of the
            part of it that this act is. No log has two acts of one call and part. Of another act a number of
            its own: where the server's answer was lost, the same act is made on its host again, and both are
            one, whichever number an undo names.
    """

    number: int
    kind: str
    at_ns: int
    by: Annotated[str, Meta(max_length=128)]
    key: Annotated[str, Meta(max_length=32)]
    accounts: Annotated[list[int], Meta(max_length=MOST_ACCOUNTS)] = []
    identity: Annotated[str, Meta(max_length=64)] = ""
    payments: Annotated[list[int], Meta(max_length=MOST_ACCOUNTS)] = []
    networks: Annotated[list[int], Meta(max_length=MOST_ACCOUNTS)] = []
    name: Annotated[str, Meta(max_length=64)] = ""
    numbers: Annotated[dict[str, int], Meta(max_length=MOST_NUMBERS)] = {}
    says: Annotated[str, Meta(max_length=MOST_SAID)] = ""
    after: Annotated[dict[str, Annotated[list[int], Meta(max_length=4)]], Meta(max_length=MOST_NUMBERS)] = {}
    until_ns: int | None = None
    reason: Annotated[str, Meta(max_length=200)] = ""
    undoes: int | None = None
    undoes_ns: int = 0
    tag: Annotated[str, Meta(max_length=8)] = ""
    once: Annotated[str, Meta(max_length=64)] = ""

    @property
    def of(self) -> ActKind:
        """The record of its kind."""
        return BY_KIND[self.kind]

    @property
    def label(self) -> str:
        """The name that people call it by: `7`, or `7-3f2a`."""
        return f"{self.number}-{self.tag}" if self.tag else str(self.number)

    @property
    def mark(self) -> int:
        """The 32 bits, not 0, that refusals by it are noted with."""
        seen = blake2b(f"{self.number} {self.at_ns}".encode(), digest_size=4).digest()
        return int.from_bytes(seen, "big") or 1

    @property
    def identity_in_log(self) -> tuple[int, int]:
        """The two numbers that no other act has: its number, and when it was made."""
        return self.number, self.at_ns

    @property
    def hashes(self) -> tuple[int, ...]:
        """All that it names: accounts or identities, and what an organisation shares."""
        return (*self.accounts, *self.payments, *self.networks)

    def line(self) -> bytes:
        """Return it as one line of a log."""
        return msgspec.json.encode(self)


_ACTS = JsonReader(Act)


def read_acts(lines: Iterable[bytes]) -> list[Act]:
    """Return the acts in some lines, in order; a line that is no act is left out."""
    found: list[Act] = []
    for line in lines:
        if not line or len(line) > LONGEST_LINE:
            continue
        try:
            act = _ACTS.read(line)
        except ValueError:
            continue
        if (
            act.kind in BY_KIND
            and all(0 <= one < 2**64 for one in act.hashes)
            and all(0 < units <= 2**53 for units in act.numbers.values())
        ):
            found.append(act)
    return merged(found)[-2 * MOST_ACTS :]


def merged(*logs: Iterable[Act]) -> list[Act]:
    """Return the acts of several logs, each once, in order."""
    found = {act.identity_in_log: act for log in logs for act in log}
    return [found[identity] for identity in sorted(found)]


def digest_of(acts: Iterable[Act]) -> str:
    """Return what two logs have in common only if they have the same acts."""
    identities = sorted(act.identity_in_log for act in acts)
    return blake2b(repr(identities).encode(), digest_size=8).hexdigest()


def next_number(acts: Sequence[Act]) -> int:
    """Return the number of the next act of a log."""
    return acts[-1].number + 1 if acts else 1


def fresh_tag() -> str:
    """Return a tag for an act that is made without the log of all hosts."""
    return secrets.token_hex(2)


def made_before(acts: Iterable[Act], once: str) -> Act | None:
    """Return the act that the same part of the same call has made; None for none."""
    return next((act for act in acts if act.once == once), None) if once else None


def undos(acts: Sequence[Act]) -> Mapping[tuple[int, int], Act]:
    """Return the acts that take others back, by the identity of the act that is taken back.

    One that was made twice is taken back whole.
    """
    found = {(act.undoes, act.undoes_ns): act for act in acts if act.undoes is not None}
    once = {act.once: found[act.identity_in_log] for act in acts if act.once and act.identity_in_log in found}
    return found | {act.identity_in_log: once[act.once] for act in acts if act.once in once}


def in_force(acts: Sequence[Act], key: str, now_ns: int) -> tuple[Act, ...]:
    """Return the acts that hold at an instant, of one hash key, in order; one that was made twice, once."""
    undone = undos(acts)
    made = {(act.key, act.once): act for act in sorted(acts, key=lambda act: bool(act.tag)) if act.once}
    held = [
        act
        for act in acts
        if not act.of.is_undo
        and act.identity_in_log not in undone
        and act.key == key
        and made.get((act.key, act.once), act) is act
        and (act.until_ns is None or act.until_ns > now_ns)
    ]
    latest = {id(act) for act in [act for act in held if not act.of.is_done][-MOST_IN_FORCE:]}
    return tuple(act for act in held if act.of.is_done or id(act) in latest)


def kept(acts: Sequence[Act], now_ns: int) -> list[Act]:
    """Return those that a log keeps: the latest, and before them those that hold.

    An undo stays until the act that it takes back would have lapsed: a host that was cut off may still
    have that act.
    """
    keys = {act.key for act in acts}
    holding = {id(act) for key in keys for act in in_force(acts, key, now_ns) if not act.of.is_done}
    holding |= {
        id(act) for act in acts if act.of.is_undo and act.until_ns is not None and act.until_ns > now_ns
    }
    spare = max(0, len(acts) - MOST_ACTS)
    left = []
    for act in acts:
        if spare and id(act) not in holding:
            spare -= 1
        else:
            left.append(act)
    return left[-MOST_ACTS:]
