"""The operator's knowledge of principals and networks, as it stands in a policy file."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from ratelimit.features.table import Table

Principal = str | list[str]
"""A principal by value; by several, in the order of `principal`, where that names several identities."""


class Organisation(Table, frozen=True, forbid_unknown_fields=True):
    """A declared organisation: values that its members share are no evidence between them."""

    payment: Annotated[list[str], Meta(description="Its payment methods.")] = []
    network: Annotated[
        list[str], Meta(description="Its addresses and ranges.", examples=[["192.0.2.0/24"]])
    ] = []
    account: Annotated[
        list[Principal],
        Meta(
            description="Its accounts. Without any, every account that pays with one of its payment "
            "methods is a member; without these too, every account that comes from its networks."
        ),
    ] = []


class Known(Table, frozen=True, forbid_unknown_fields=True):
    """The operator's knowledge; it overrides inference."""

    exempt: Annotated[list[Principal], Meta(description="Accounts that are never in an actor.")] = []
    together: Annotated[
        list[list[Principal]],
        Meta(
            description="Lists of accounts that are one actor each, whatever the evidence. "
            "Actors they are in become one.",
            examples=[[["acct-17", "acct-18"]]],
        ),
    ] = []
    apart: Annotated[
        list[list[Principal]],
        Meta(description="Lists of accounts. No two of one list are ever in one actor; the later yields."),
    ] = []
    confirm: Annotated[
        list[Principal],
        Meta(
            description="Accounts whose actors are confirmed. They are certain, and so is every "
            "likely member of their actor, unless another account clears it."
        ),
    ] = []
    clear: Annotated[
        list[Principal],
        Meta(
            description="Accounts whose actors are cleared. No member of their actor is certain or "
            "likely, unless another account confirms it. `exempt` leaves out one account alone."
        ),
    ] = []
    organisations: Annotated[
        dict[str, Organisation],
        Meta(
            description="Companies, by a name of yours: their members share cards, egress, or both.",
            examples=[{"acme": {"payment": ["pm-acme-1"], "network": ["198.51.100.0/24"]}}],
        ),
    ] = {}
    networks: Annotated[
        list[str],
        Meta(
            description="Networks that unrelated people share: ranges, or `file:PATH` of a list. Carriers' "
            "address translation, clouds, exits of VPNs. Addresses there are weak evidence and no "
            "meeting place.",
            examples=[["198.51.100.0/24", "file:vpn-exits.txt"]],
        ),
    ] = []
