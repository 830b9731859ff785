"""The `[adaptive]` table as types: how much may be in flight, and what is shed first."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from ratelimit.codes import error, warning
from ratelimit.features.table import Table

LoadMode = Literal["enforce", "shadow"]
MONITORS = ("GET /metrics", "GET /health", "GET /healthz", "GET /livez", "GET /readyz")
"""What monitors ask for by custom. A server is looked at most of all while it is saturated."""
InFlight = Annotated[int, Meta(ge=1, le=100_000)]


class Adaptive(Table, frozen=True, forbid_unknown_fields=True, rename={"except_": "except"}):
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
    in_flight: Annotated[
        list[InFlight],
        Meta(
            min_length=3,
            max_length=3,
            description="Requests in flight, three whole numbers: so many always have room, so many may wait "
            "for their first byte before anything is known, and so many are the most.",
            examples=[[4, 20, 400]],
        ),
    ] = field(default_factory=lambda: [4, 20, 400])
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
    per: Annotated[
        str | None,
        Meta(
            description="An identity, as the model: each of its values has a limit of its own, sixteen at "
            "one time. Further ones, and requests without one, share a limit. Default: one limit.",
            examples=["model"],
        ),
    ] = None
    reports: Annotated[
        str | list[str],
        Meta(
            description="Load reports of the servers behind: the metrics pages of vLLM, SGLang, TGI or "
            "llama.cpp, at most 64. They only cap the limit. Default: no reports.",
            examples=["http://127.0.0.1:8000/metrics"],
        ),
    ] = []
    mode: Annotated[
        Literal["enforce", "shed", "shadow"],
        Meta(
            description="`enforce`: a request without room waits in the gateway, for up to half of the "
            "target, in the order of classes, then fair by caller. `shed`: it is shed at once. `shadow` only "
            "counts the requests that it would shed and hold."
        ),
    ] = "enforce"


class FileKeys(Table, frozen=True, forbid_unknown_fields=True):
    """The tables of the file that the limits that follow the load read."""

    adaptive: Annotated[
        Adaptive | list[Adaptive] | None,
        Meta(description="A limit on requests in flight that follows the load, or several. Default: none."),
    ] = None


CODES = {
    "adaptive-bounds": error(
        "The numbers of `in_flight` are not three, or not in order.",
        "Write three whole numbers, as `in_flight = [4, 20, 400]`, each at least the one before.",
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
    "adaptive-asserted": warning(
        "Clients choose the value that an adaptive limit or a class goes by, and so which they fall under.",
        "Read it from `state:` or a resolver, where the application has checked it.",
    ),
    "adaptive-group": error(
        "One of several adaptive limits has no name or requests of its own.", "Give it a name and a `match`."
    ),
    "adaptive-class": error("A class has no name or requests of its own.", "Give it a name and a `match`."),
    "class-weights": error(
        "The weights of classes leave the first less than a tenth.", "Lower them, to 90 together at most."
    ),
    "class-unknown": warning(
        "A class or a caller goes by what is not known of requests on some routes.",
        "Read it from `state:`, a header or a resolver, or give these routes a limit with the parameter.",
    ),
}
