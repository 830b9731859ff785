"""The `[queue]` table as types: how many requests may wait for room, and which is next."""

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


class QueueClass(Table, frozen=True, forbid_unknown_fields=True):
    """One class of requests that wait."""

    name: Annotated[
        str,
        Meta(min_length=1, max_length=64, description="Unique; printable ASCII.", examples=["interactive"]),
    ]
    match: Annotated[
        str | list[str],
        Meta(
            description="Requests of this class, written like a limit's `match`. The first class that "
            "matches counts; a request without a match belongs to the last.",
            examples=["POST /v1/chat"],
        ),
    ]
    weight: ClassWeight = 5


class Queue(Table, frozen=True, forbid_unknown_fields=True, rename={"class_": "class"}):
    """The way that requests wait for limits with `wait`; numbers are those of each worker."""

    per_principal: Annotated[
        int, Meta(ge=1, le=100_000, description="Most requests of one caller that wait.")
    ] = 64
    total: Annotated[int, Meta(ge=1, le=1_000_000, description="Most requests that wait.")] = 10_000
    principal: Annotated[
        str | None,
        Meta(
            description="The identity that has a fair share of its own. Accounts of one cluster have one "
            "share together in any case. Default: the account, which is `principal` of `[correlation]`, or "
            "the first identity that a limit counts by and that is no address.",
            examples=["organisation"],
        ),
    ] = None
    class_: Annotated[
        list[QueueClass],
        Meta(
            max_length=16,
            description="Classes of requests: while one of the first class waits, those of the others go "
            "on by their weight alone. Default: those of the one `[adaptive]` that go by `match` alone.",
        ),
    ] = []


class FileKeys(Table, frozen=True, forbid_unknown_fields=True):
    """The tables of the file that waiting reads."""

    queue: Annotated[Queue, Meta(description="Rules for requests that wait for room.")] = Queue()


CODES = {
    "limit-wait": error("The wait is malformed, or not between 1 ms and 10 minutes.", "Mend it."),
    "queue-class": error(
        "A class of requests that wait has no name or requests of its own.", "Give it a name and a `match`."
    ),
    "queue-principal": warning(
        "Requests wait in one share for each address, so all behind a NAT share one.",
        'Name the account: `[queue] principal = "account"`.',
    ),
    "queue-unused": warning(
        "There is a `[queue]`, and no limit lets requests wait.",
        'Write `wait = "1s"` in a limit, or remove it.',
    ),
}
