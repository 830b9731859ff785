"""The numbers of the file that a policy's `tuning` names: one table for everything that tunes.

The defaults serve all deployments. What sizes memory or an algorithm is here, and not in the policy.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from ratelimit.correlation.settings import Settings

Size = Annotated[int, Meta(ge=1 << 20, le=1 << 34)]


class Tuning(Settings, frozen=True, forbid_unknown_fields=True):
    """The correlator's numbers, and those of memory, lines of requests, slots and allowances."""

    correlator_runs_in: Annotated[
        Literal["workers", "process"],
        Meta(
            description="With Redis, the correlator of all hosts: an elected worker, or a process of its "
            "own, `ratelimit correlator`."
        ),
    ] = "workers"
    payers: Annotated[
        Annotated[int, Meta(ge=1000, le=10_000_000)],
        Meta(
            description="Payers whose records there is room for, and four accounts and places each; "
            "120 bytes a payer."
        ),
    ] = 100_000
    block_bytes: Annotated[
        Size | None,
        Meta(
            description="Memory for state of more than a word a key: logs, slots, distinct counts. "
            "Default: by the limits that need it."
        ),
    ] = None
    answers: Annotated[
        Annotated[int, Meta(ge=1, le=1_000_000)],
        Meta(description="Answers of one resolver that each worker keeps; the oldest go first."),
    ] = 10_000
    waiting: Annotated[
        Annotated[int, Meta(ge=1, le=1_000_000)],
        Meta(description="Most requests of a worker that wait for limits."),
    ] = 10_000
    waiting_each: Annotated[
        Annotated[int, Meta(ge=1, le=100_000)], Meta(description="The same of one caller.")
    ] = 64
    slot_kept_s: Annotated[
        Annotated[int, Meta(ge=1, le=86_400)],
        Meta(description="Seconds of silence of a worker after which its slots of `concurrent` lapse."),
    ] = 60
    young_usd: Annotated[
        Annotated[float, Meta(gt=0, le=1e12)],
        Meta(
            description="Dollars that count at most of those that a payer did not have a month ago. Stolen "
            "cards are charged back later than that."
        ),
    ] = 10.0

    @property
    def correlator(self) -> Settings:
        """The correlator's own numbers."""
        return Settings(**{name: getattr(self, name) for name in Settings.__struct_fields__})
