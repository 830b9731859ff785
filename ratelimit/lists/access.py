"""Allow and deny lists: which requests pass untouched, and which not at all.

Values are hashed when the policy is loaded; address ranges stay ranges. A request on
both lists is allowed. A malformed value of an identity that the deny list names is denied: the
application may read it as one that is listed.
"""

from __future__ import annotations

from collections.abc import Sequence

from ratelimit.core.request.networks import Networks
from ratelimit.identity.address import Address, Name, number_of
from ratelimit.identity.fact import MALFORMED
from ratelimit.identity.proxies import AddressRanges, numbered

UNLISTED = 0
DENIED = 1
ALLOWED = 2


class AccessLists:
    """The two lists of one policy, by position of the identity.

    Args:
        allow_ranges, deny_ranges: networks of clients.
        allow_values, deny_values: pairs of an identity's position and a value's hash.
    """

    __slots__ = ("_values", "networks")

    def __init__(
        self,
        *,
        allow_ranges: AddressRanges,
        deny_ranges: AddressRanges,
        allow_values: Sequence[tuple[int, int]] = (),
        deny_values: Sequence[tuple[int, int]] = (),
    ) -> None:
        self.networks: Networks | None = None
        """Numbers addresses by the list that names them, in a bit for each; None: no network is listed."""
        if allow_ranges or deny_ranges:
            named = [(allow_ranges, ALLOWED), (deny_ranges, DENIED)]
            self.networks = numbered(named, fields=(ALLOWED, DENIED))
        by_position: dict[int, dict[int, int]] = {}
        for position, value in deny_values:
            by_position.setdefault(position, {MALFORMED: DENIED})[value] = DENIED
        for position, value in allow_values:
            by_position.setdefault(position, {})[value] = ALLOWED
        self._values = tuple(by_position.items())

    @property
    def lists_values(self) -> bool:
        """True if anything but addresses is listed."""
        return bool(self._values)

    @property
    def values(self) -> list[tuple[int, int, int]]:
        """Positions, hashes and lists of what is listed by value."""
        return [
            (position, value, found)
            for position, listed in self._values
            for value, found in listed.items()
            if value != MALFORMED
        ]

    @property
    def guarded(self) -> tuple[int, ...]:
        """Positions where a malformed value has to be told apart from a missing one."""
        return tuple(position for position, listed in self._values if MALFORMED in listed)

    def of_address(self, address: Address | Name | None) -> int:
        """Return UNLISTED, ALLOWED or DENIED for a client."""
        return 0 if self.networks is None else min(number_of(self.networks, address), ALLOWED)

    def of_identities(self, identities: Sequence[int], so_far: int) -> int:
        """Return what the listed values say, unless `so_far` outranks it."""
        for position, listed in self._values:
            so_far = max(so_far, listed.get(identities[position], UNLISTED))
        return so_far
