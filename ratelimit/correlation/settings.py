"""Every number of the correlator, with its default. The same defaults serve all deployments."""

from __future__ import annotations

from dataclasses import dataclass

HOUR_S = 3600
DAY_S = 86400


@dataclass(frozen=True, slots=True)
class Settings:
    """What is remembered, what counts as a home and as new, and what makes an actor certain."""

    principals: int = 100_000
    """How many are remembered; the longest silent make room."""
    identifiers: int = 300_000
    clusters: int = 1024
    """How many may exist at once."""
    network_kept_s: int = 12 * DAY_S
    """How long it is remembered that an account was at an address."""
    payment_kept_s: int = 60 * DAY_S
    """How long what an account paid with, its client and further families are remembered."""
    dormant_after_s: int = 3 * DAY_S
    """After so long a silence (a weekend) a principal is dormant: counted nowhere until it is seen again."""
    window_s: int = 2 * DAY_S
    """How far back exits are looked at."""

    home_s: int = 26 * HOUR_S
    """An account is at home where it comes back so much later: exits are rented for a day."""
    home_new_s: int = 3 * HOUR_S
    """The same of an account younger than a day and a half."""
    new_s: int = 14 * DAY_S
    """For so long an account is new, and no witness unless it is at home somewhere."""
    records_s: int = 14 * DAY_S
    """So old must records be for who is first seen to be new, where nothing says when it was created."""

    pool_share: float = 0.5
    """An exit is a pool's where this part of its accounts is in question; likewise a method's visits."""
    network_share: float = 0.8
    """The same of networks, for payment methods whose accounts share no address."""
    methods: int = 3
    """So many payment methods that meet make an actor certain."""
    accounts: int = 8
    exits: float = 256.0
    """So many exits: more than the /24 that an organisation may have to itself."""
    exclusive: float = 0.6
    """This part of the accounts on its exits are its own, or testify to nothing."""
    homed: float = 0.05
    """At most this part of its accounts is at home anywhere."""
    covert: float = 0.3
    """So many exits for each account of its busiest hours: of an organisation there are fewer."""
    rebuild_s: int = HOUR_S
    """Seconds between rebuilds, at most, while anything changes."""
