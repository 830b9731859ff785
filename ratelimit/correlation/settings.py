"""Every number of the correlator, as it stands in the file of `tuning`: one table for both.

The defaults serve all deployments.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

HOUR_S = 3600
DAY_S = 86400

Whole = Annotated[int, Meta(ge=1)]
Number = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Seconds = Annotated[int, Meta(ge=1)]
Duration = Annotated[int, Meta(ge=0)]
Kept = Annotated[int, Meta(ge=600, le=38_880_000)]
"""Seconds. What was seen when is remembered to ten minutes in 16 bits, which is 455 days."""
METHODS_A_BUDGET = 2
"""Payment methods of a young cluster that share one budget. With two, organisations on an edge platform lose nothing in
their first week, and a further budget costs a campaign $44 a month: see docs/measured-correlation.md."""


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """The bounds of memory, of homes, of new accounts and of certain clusters."""

    principals: Annotated[
        Annotated[int, Meta(ge=16, le=4_000_000)],
        Meta(description="Accounts that are remembered; the longest silent make room."),
    ] = 100_000
    identifiers: Annotated[
        Annotated[int, Meta(ge=64, le=4_000_000)],
        Meta(description="Addresses, networks, payment methods and others that are remembered."),
    ] = 300_000
    clusters: Annotated[
        Annotated[int, Meta(ge=1, le=4096)], Meta(description="Actors that may exist at once.")
    ] = 1024
    network_kept_s: Annotated[
        Kept, Meta(description="Seconds for which it is remembered that an account was at an address.")
    ] = 1_036_800
    payment_kept_s: Annotated[
        Kept,
        Meta(description="The same of what it paid with, of its client and of the families under `extra`."),
    ] = 5_184_000
    dormant_after_s: Annotated[
        Seconds,
        Meta(description="Seconds of silence after which an account is remembered and counted nowhere."),
    ] = 259_200
    window_s: Annotated[
        Seconds,
        Meta(description="Seconds back to which exits are looked at; longer finds slow campaigns later."),
    ] = 172_800
    home_s: Annotated[
        Duration,
        Meta(
            description="Seconds after which an account that comes back is at home; "
            "below a day, an exit rented for a day is a home."
        ),
    ] = 93_600
    home_new_s: Annotated[
        Duration,
        Meta(
            description="The same of an account first seen in the last 36 hours; "
            "longer spares fewer newcomers, shorter finds fewer young campaigns."
        ),
    ] = 10_800
    new_s: Annotated[
        Seconds,
        Meta(
            description="Seconds for which an account is new; "
            "longer makes age costlier for an attacker and puts more newcomers in question."
        ),
    ] = 1_209_600
    records_s: Annotated[
        Duration,
        Meta(
            description="Seconds of records after which an account that is first seen is taken for new, "
            "where nothing says its age."
        ),
    ] = 1_209_600
    young_s: Annotated[
        Duration,
        Meta(
            description="Seconds for which a certain actor is young whose accounts were all new; "
            "longer gives you more time to declare it, and gives a campaign a budget for every few cards."
        ),
    ] = 604_800
    pool_share: Annotated[
        Share,
        Meta(
            description="Part of an exit's accounts that makes it a pool's, and of a payment method's visits "
            "that keeps it in question. Lower finds more, also by chance."
        ),
    ] = 0.5
    methods: Annotated[
        Whole, Meta(description="Payment methods that must meet for an actor to be certain.")
    ] = 3
    accounts: Annotated[Whole, Meta(description="Accounts of theirs, likewise.")] = 8
    exits: Annotated[
        Number,
        Meta(
            description="Exits likewise, each by its share of visits, in a network for each four; half as "
            "many again in fewer. Lower, and a new organisation can be certain."
        ),
    ] = 256.0
    exclusive: Annotated[
        Share,
        Meta(description="Part of the accounts on these exits that are the actor's or are no witnesses."),
    ] = 0.6
    homed: Annotated[
        Share, Meta(description="Part of the actor's accounts that may be at home somewhere.")
    ] = 0.05
    covert: Annotated[
        Number,
        Meta(
            description="Exits for each account of the busiest hours; with fewer it is certain "
            "only once half its accounts were there for 16 hours."
        ),
    ] = 0.3
    rebuild_s: Annotated[
        Seconds, Meta(description="Seconds between rebuilds, at most, while anything changes.")
    ] = 3_600
