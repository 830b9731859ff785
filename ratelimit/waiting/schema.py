"""Requests that wait, in the policy file, as types: for how long, in which class, and which is next."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from ratelimit.codes import error, warning
from ratelimit.features.table import Table


class LimitKeys(Table, frozen=True, forbid_unknown_fields=True):
    """The keys of a limit that waiting reads."""

    wait: Annotated[
        str | int | None,
        Meta(
            description="The longest wait of a request without room: seconds, or `500ms`, `1s`. "
            "Default: it is refused at once.",
            examples=["1s"],
        ),
    ] = None


ClassWeight = Annotated[
    int,
    Meta(
        ge=0,
        le=90,
        description="Of each hundred requests that go on, so many are of this class while it waits, "
        "whatever waits before it. `0`: it gets what higher classes leave. The first class needs none.",
        examples=[10],
    ),
]


class RequestClass(Table, frozen=True, forbid_unknown_fields=True):
    """One class of requests. The first of the file is shed last; what matches none is of the last."""

    name: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=64,
            description="Unique; printable ASCII. Appears in metrics and explanations.",
            examples=["interactive"],
        ),
    ]
    match: Annotated[
        str | list[str] | None,
        Meta(
            description="Requests of this class, written like a limit's `match`; the first class that "
            "matches counts. Default: all, if there is a `when`.",
            examples=["POST /v1/chat"],
        ),
    ] = None
    when: Annotated[
        dict[str, str | list[str]],
        Meta(
            max_length=8,
            description="For `[adaptive]`: identities that a request of this class has, and one of which "
            "values: a plan, an account. All of them have to fit. Lines of limits go by `match` alone.",
            examples=[{"plan": ["pro", "team"]}],
        ),
    ] = {}
    weight: ClassWeight = 5


class FileKeys(Table, frozen=True, forbid_unknown_fields=True, rename={"classes": "class"}):
    """The keys of the file that waiting reads."""

    classes: Annotated[
        list[RequestClass],
        Meta(
            max_length=16,
            description="Classes of requests in their order. Under `[adaptive]` the first is shed last. In "
            "lines for limits with `wait`, others go on by their weight alone while one of the first waits.",
        ),
    ] = []
    fair_by: Annotated[
        str | None,
        Meta(
            description="The identity that has a fair share of its own among requests that wait. Accounts "
            "of one actor have one share together in any case. Default: the account, which is `principal` "
            "of `[correlation]`, or the first identity that a limit counts by and that is no address.",
            examples=["organisation"],
        ),
    ] = None


CODES = {
    "limit-wait": error("The wait is malformed, or not between 1 ms and 10 minutes.", "Mend it."),
    "queue-principal": warning(
        "Requests wait in one share for each address, so all behind a NAT share one.",
        'Name the account: `fair_by = "account"`.',
    ),
    "queue-unused": warning(
        "There is a `fair_by` or a `class`, and no request ever waits.",
        'Write `wait = "1s"` in a limit, or `[adaptive]`, or remove it.',
    ),
}
