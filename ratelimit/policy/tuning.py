"""The correlator's numbers as they stand in a policy file, each with its default.

`correlation.Settings` has the same names and defaults, and a test keeps the two in
step: this package and that one may not know each other.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

Whole = Annotated[int, Meta(ge=1)]
Number = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Seconds = Annotated[int, Meta(ge=1)]
HalfLife = Annotated[int, Meta(ge=600, le=6_480_000)]
"""Seconds. What was seen when is remembered to ten minutes, and for six half-lives: 16 bits, 455 days."""


class Tuning(Struct, frozen=True, forbid_unknown_fields=True):
    """How evidence is kept and weighed. The defaults serve all deployments."""

    principals: Annotated[
        Annotated[int, Meta(ge=16, le=4_000_000)],
        Meta(description="How many principals are remembered; the longest silent make room."),
    ] = 100_000
    dormant_after_s: Annotated[
        Seconds,
        Meta(
            description="Seconds of silence after which a principal is dormant: remembered, "
            "and counted nowhere until it is seen again."
        ),
    ] = 259_200
    identifiers: Annotated[
        Annotated[int, Meta(ge=64, le=4_000_000)],
        Meta(description="How many addresses, networks, payment methods, clients and others are remembered."),
    ] = 300_000
    clusters: Annotated[
        Annotated[int, Meta(ge=1, le=4096)], Meta(description="How many clusters may exist at once.")
    ] = 1024
    network_half_life_s: Annotated[
        HalfLife,
        Meta(
            description="Seconds after which having been seen at an address counts half; "
            "ten minutes to 75 days, as all half-lives."
        ),
    ] = 172_800
    payment_half_life_s: Annotated[HalfLife, Meta(description="The same for payment methods.")] = 5_184_000
    client_half_life_s: Annotated[HalfLife, Meta(description="The same for clients.")] = 1_209_600
    extra_half_life_s: Annotated[HalfLife, Meta(description="The same for the families under `extra`.")] = (
        1_209_600
    )
    network_each: Annotated[
        Number,
        Meta(
            description="What one independent network can say at most, as the logarithm of a likelihood ratio."
        ),
    ] = 3.0
    network_cap: Annotated[Number, Meta(description="What all networks can say together.")] = 6.0
    infrastructure: Annotated[
        Share,
        Meta(description="What an address of a network declared as infrastructure counts for."),
    ] = 0.25
    payment_cap: Annotated[Number, Meta(description="What payment methods can say at most.")] = 6.0
    client_cap: Annotated[Number, Meta(description="What clients can say at most.")] = 4.0
    behaviour_cap: Annotated[
        Number,
        Meta(description="What volume, and roaming, can say for a member at most; twice that against."),
    ] = 2.0
    length_cap: Annotated[
        Number,
        Meta(
            description="What the length of its answers can say for a member at most; twice that against. "
            "0: it is not looked at."
        ),
    ] = 1.0
    insistence_cap: Annotated[
        Number,
        Meta(
            description="What asking again at once after refusals can say at most, for or against. "
            "0: it is not looked at."
        ),
    ] = 1.0
    unlike: Annotated[
        Number,
        Meta(
            description="Behaviour that is so much likelier of strangers keeps a principal out, whatever else it shares."
        ),
    ] = 1.5
    extra_cap: Annotated[Number, Meta(description="What the families under `extra` can say together.")] = 5.0
    prior_cap: Annotated[
        Number, Meta(description="How far a cluster's rarity counts against belonging to it, at most.")
    ] = 3.0
    join: Annotated[Number, Meta(description="The total at which a principal joins a cluster.")] = 5.0
    stay: Annotated[Number, Meta(description="The total below which it leaves again.")] = 3.0
    join_paid: Annotated[
        Number, Meta(description="The total at which one joins whose payment method is the cluster's own.")
    ] = 1.5
    suspect_sharing: Annotated[
        Whole, Meta(description="So many principals on one payment method make it worth a look.")
    ] = 3
    suspect_share: Annotated[
        Share,
        Meta(
            description="Networks are meeting places of such principals where these are at least this part of all who use them."
        ),
    ] = 0.3
    roamer_share: Annotated[
        Share,
        Meta(
            description="Addresses are a meeting place of roamers where they are at least this part of all who use them."
        ),
    ] = 0.4
    roamer_meetings: Annotated[
        Whole,
        Meta(
            description="Independent networks where a roamer meets others, for a group of them to be looked at."
        ),
    ] = 2
    least_roamers: Annotated[Whole, Meta(description="How many roamers make a group.")] = 30
    least_tenants: Annotated[
        Whole,
        Meta(
            description="Principals with one client in one network that make a group where no payment method is known."
        ),
    ] = 6
    least_support: Annotated[
        Number,
        Meta(
            description="What meetings, clients and behaviour of those who pay alike must say together, for it to count."
        ),
    ] = 2.5
    rare_client: Annotated[
        Share,
        Meta(
            description="A client that less than this part of honest-looking principals uses tells groups apart."
        ),
    ] = 0.01
    client_overlap: Annotated[
        Share,
        Meta(description="Clients that occur together on this part of payment methods are one actor's."),
    ] = 0.25
    least_members: Annotated[Whole, Meta(description="How many principals make a cluster.")] = 12
    least_payments: Annotated[
        Whole, Meta(description="A group held together by payment methods has at least so many of them.")
    ] = 4
    least_meetings: Annotated[
        Whole, Meta(description="Independent networks where members who pay differently meet.")
    ] = 4
    evenness_most: Annotated[
        Number,
        Meta(
            description="Coefficient of variation of members' volumes, counting noise taken out, that one actor's stay below."
        ),
    ] = 0.9
    evenness_doubt: Annotated[
        Number,
        Meta(description="Added to a group's coefficient of variation, divided by the root of its size."),
    ] = 1.5
    concentration_least: Annotated[
        Share,
        Meta(
            description="Or, instead: part of the members whose volumes lie within a factor of four of each other."
        ),
    ] = 0.75
    least_volume: Annotated[
        Number, Meta(description="Requests a member, in the mean, before their evenness says anything.")
    ] = 3.0
    kept_ease: Annotated[
        Share, Meta(description="How much easier a cluster passes that has passed before.")
    ] = 0.2
    merge_share: Annotated[
        Share, Meta(description="Part of a cluster's members that must fit another for the two to be one.")
    ] = 0.5
    null_every: Annotated[
        Annotated[int, Meta(ge=0)],
        Meta(
            description="Every so many rebuilds it is estimated how many principals chance alone would group; 0: never."
        ),
    ] = 8
    null_most: Annotated[
        Share,
        Meta(
            description="Part of the principals outside clusters above which groups are looked for more strictly."
        ),
    ] = 0.001
    null_step: Annotated[Share, Meta(description="What part more roamers a group needs with each step.")] = (
        0.25
    )
    null_payments: Annotated[
        Annotated[int, Meta(ge=0)], Meta(description="Added to `least_payments` for each step stricter.")
    ] = 1
    rebuild_least_s: Annotated[Seconds, Meta(description="Seconds between rebuilds, at least.")] = 60
    rebuild_most_s: Annotated[
        Seconds, Meta(description="Seconds between rebuilds, at most, while anything changes.")
    ] = 3600
    rebuild_growing_s: Annotated[Seconds, Meta(description="Rebuilt that soon while clusters grow.")] = 180
    rebuild_change: Annotated[
        Share, Meta(description="Rebuilt early when this part of all edges is new.")
    ] = 0.0625
    slice_entries: Annotated[Whole, Meta(description="Entries walked in one step.")] = 4096
