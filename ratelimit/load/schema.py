"""The `[adaptive]` table as types: how much may be in flight, and what is shed first."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from ratelimit.codes import error, warning
from ratelimit.features.table import Table
from ratelimit.waiting.schema import ClassWeight

LoadMode = Literal["enforce", "shadow"]
MONITORS = ("GET /metrics", "GET /health", "GET /healthz", "GET /livez", "GET /readyz")
"""What monitors ask for by custom. A server is looked at most of all while it is saturated."""
InFlight = Annotated[int, Meta(ge=1, le=100_000)]


class LoadClass(Table, frozen=True, forbid_unknown_fields=True):
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
            description="Identities that a request of this class has, and one of which values: a plan, "
            "an account. All of them have to fit.",
            examples=[{"plan": ["pro", "team"]}],
        ),
    ] = {}
    weight: ClassWeight = 5


class Adaptive(
    Table, frozen=True, forbid_unknown_fields=True, rename={"class_": "class", "except_": "except"}
):
    """A limit on what is in flight that follows the load: of all requests, or of one back end's."""

    name: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=64,
            description="With several, each has its own: `[[adaptive]]`, one for each back end. "
            "Printable ASCII. Appears in metrics as `group`, and in explanations.",
            examples=["chat"],
        ),
    ] = "default"
    first_byte: Annotated[
        str | int | None,
        Meta(
            description="Target for the time to the first byte: seconds, or `500ms`, `1s`. "
            "Default: learned from first bytes behind short queues. Until then requests are only counted.",
            examples=["1s"],
        ),
    ] = None
    work: Annotated[
        Literal["requests", "body"],
        Meta(
            description="What a request is as work: one, or as much as its body is long by `Content-Length`, "
            "beside the body in the middle. For prompts that differ widely in length.",
        ),
    ] = "requests"
    floor: Annotated[InFlight, Meta(description="Requests in flight that always have room.")] = 4
    start: Annotated[
        InFlight, Meta(description="Requests that may wait for their first byte before anything is known.")
    ] = 20
    ceiling: Annotated[
        InFlight, Meta(description="The most requests in flight; further ones have no room.")
    ] = 400
    match: Annotated[
        str | list[str],
        Meta(
            description="Requests that the limit is on, written like a limit's `match`. With several "
            "limits, the first that matches counts. Leave out requests for another back end.",
            examples=[["POST /v1/*"]],
        ),
    ] = "/*"
    except_: Annotated[
        str | list[str],
        Meta(
            description="Requests that the limit is not on, written like `match`. Default: the paths of "
            "monitors. An orchestrator that receives 503 restarts a server for being busy.",
            examples=["GET /health"],
        ),
    ] = field(default_factory=lambda: list(MONITORS))
    reports: Annotated[
        str | list[str],
        Meta(
            description="Load reports of the servers behind: the metrics pages of vLLM, SGLang, TGI or "
            "llama.cpp, at most 64. They only cap the limit. Default: no reports.",
            examples=["http://127.0.0.1:8000/metrics"],
        ),
    ] = []
    mode: Annotated[
        LoadMode,
        Meta(description="`shadow` only counts the requests that it would shed and hold."),
    ] = "enforce"
    hold: Annotated[
        bool,
        Meta(
            description="A request without room waits in the gateway, for a quarter of the target. The "
            "order is by class, then fair by caller. `false`: it is shed at once."
        ),
    ] = True
    class_: Annotated[
        list[LoadClass],
        Meta(
            max_length=16,
            description="Classes in their order: the first is shed last.",
        ),
    ] = []


class FileKeys(Table, frozen=True, forbid_unknown_fields=True):
    """The tables of the file that the limits that follow the load read."""

    adaptive: Annotated[
        Adaptive | list[Adaptive] | None,
        Meta(description="A limit on requests in flight that follows the load, or several. Default: none."),
    ] = None


CODES = {
    "adaptive-bounds": error(
        "`floor`, `start` and `ceiling` are not in this order.",
        "Write them so that each is at least the one before.",
    ),
    "adaptive-floor": warning(
        "The floor may be above what the back end can do; it is never cut, so overload would not end.",
        "Take what the back end answers in time at its worst, or leave the default of 4.",
    ),
    "adaptive-target": error(
        "The first byte's target is malformed, or not 10 ms to 10 minutes.", "Write it like `500ms`."
    ),
    "adaptive-reports": error(
        "A page of the servers' metrics is no http:// or https:// address.",
        "Write it like `http://127.0.0.1:8000/metrics`.",
    ),
    "adaptive-group": error(
        "One of several adaptive limits has no name or requests of its own.", "Give it a name and a `match`."
    ),
    "adaptive-class": error(
        "A class of the adaptive limit has no name or requests of its own.", "Give it a name and a `match`."
    ),
    "class-weights": error(
        "The weights of classes leave the first less than a tenth.", "Lower them, to 90 together at most."
    ),
    "class-unknown": warning(
        "A class or a caller goes by what is not known of requests on some routes.",
        "Read it from `state:`, a header or a resolver, or give these routes a limit with the parameter.",
    ),
}
