"""Every number of the correlator, with its default. The same defaults serve all deployments."""

from __future__ import annotations

from dataclasses import dataclass

HOUR_S = 3600
DAY_S = 86400


@dataclass(frozen=True, slots=True)
class Settings:
    """How evidence is kept and weighed.

    Scores are natural logarithms of likelihood ratios: 3 says "twenty times likelier
    of a member than of a stranger".
    """

    principals: int = 100_000
    """How many are remembered; the longest silent make room."""
    dormant_after_s: int = 3 * DAY_S
    """After so long a silence (a weekend) a principal is dormant: counted nowhere until it is seen again."""
    identifiers: int = 300_000
    clusters: int = 1024
    """How many may exist at once."""

    network_half_life_s: int = 48 * HOUR_S
    payment_half_life_s: int = 60 * DAY_S
    client_half_life_s: int = 14 * DAY_S
    extra_half_life_s: int = 14 * DAY_S

    network_each: float = 3.0
    """What one independent network can say at most."""
    network_cap: float = 6.0
    """What all networks can say together."""
    infrastructure: float = 0.25
    """What an address of a network declared as infrastructure counts for.

    The largest simple fraction at which the strongest of them (`network_each`) stays below the
    0.8 from which an address counts as an independent network.
    """
    payment_cap: float = 6.0
    client_cap: float = 4.0
    behaviour_cap: float = 2.0
    length_cap: float = 1.0
    """What the length of its answers can say for a member at most; twice that against. 0: not looked at.

    Half of `behaviour_cap`: long answers alone are no witness, since agents that many use get them as well.
    """
    insistence_cap: float = 1.0
    """What asking again at once after refusals can say, for or against. 0: not looked at."""
    unlike: float = 1.5
    """Behaviour that is so much likelier of strangers keeps a principal out, whatever else it shares."""
    extra_cap: float = 5.0
    prior_cap: float = 3.0
    """How far a cluster's rarity counts against belonging to it, at most."""
    join: float = 5.0
    """The total at which a principal joins a cluster."""
    stay: float = 3.0
    """The total below which it leaves again."""

    join_paid: float = 1.5
    """The same for a principal whose payment method is the cluster's own."""

    suspect_sharing: int = 3
    """So many principals on one payment method make it worth a look."""
    suspect_share: float = 0.3
    """Networks are a meeting place of such where they are at least this part of all who use it."""
    roamer_share: float = 0.4
    """Addresses are a meeting place of roamers where they are at least this part of all who use them."""
    roamer_meetings: int = 2
    """Independent networks where a roamer meets others, for a group of them to be looked at."""
    least_roamers: int = 30
    least_tenants: int = 6
    """Principals with one client in one network, from many addresses, where no payment method is known."""
    least_support: float = 2.5
    """What meetings, clients and behaviour must say together of a payment method, for it to count."""
    rare_client: float = 0.01
    """A client that less than this part of honest-looking principals uses tells groups apart."""
    client_overlap: float = 0.25
    """Clients that occur together on this part of payment methods are one actor's."""
    least_members: int = 12
    least_payments: int = 4
    """A group held together by payment methods has at least so many of them."""

    least_meetings: int = 4
    """Independent networks where members who pay differently meet."""
    evenness_most: float = 0.9
    """Coefficient of variation of members' volumes, counting noise taken out, that one actor's stay below."""
    evenness_doubt: float = 1.5
    """Added to it, divided by the root of the members' number."""
    concentration_least: float = 0.75
    """Or: part of the members whose volumes lie within a factor of four of each other."""
    least_volume: float = 3.0
    """Requests a member, in the mean, before their evenness says anything."""
    kept_ease: float = 0.2
    """How much easier a cluster passes that has passed before."""
    merge_share: float = 0.5
    """Part of a cluster's members that must fit another for the two to be one."""

    null_every: int = 8
    """Every so many rebuilds it is estimated how many principals chance alone would group; 0: never."""
    null_most: float = 0.001
    """Part of the principals outside clusters above which seeds are made dearer."""
    null_step: float = 0.25
    """What part more roamers a group needs with each step."""
    null_payments: int = 1
    """How many more payment methods a group needs with each step."""

    rebuild_least_s: int = 60
    rebuild_most_s: int = HOUR_S
    rebuild_growing_s: int = 180
    """Rebuilt that soon while clusters grow."""
    rebuild_change: float = 1 / 16
    """Rebuilt early when this part of all edges is new."""
    slice_entries: int = 4096
    """Entries walked in one step."""
