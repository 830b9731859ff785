"""What responses say of limits, as raw header pairs.

`RateLimit` and `RateLimit-Policy` follow draft-ietf-httpapi-ratelimit-headers-11;
`X-RateLimit-*` is the older habit, of which the policy may ask for: the limit a client
should mind most, and in `-Reset` the Unix time at which it is whole again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ratelimit.core.engine import Outcome
from ratelimit.policy.model import Headers
from ratelimit.route_plan import RoutePlan

Pair = tuple[bytes, bytes]

_SECOND_NS = 1_000_000_000
_EXPOSE = b"access-control-expose-headers"


class HeaderWriter:
    """Writes the header pairs a policy's `[headers]` asks for."""

    __slots__ = ("_exposed", "_ratelimit", "_retry_after", "_x_ratelimit", "is_silent", "is_standard")

    def __init__(self, headers: Headers) -> None:
        self._ratelimit = headers.ratelimit
        self._x_ratelimit = headers.x_ratelimit
        self._retry_after = headers.retry_after
        exposed = []
        if headers.ratelimit:
            exposed += ["RateLimit", "RateLimit-Policy"]
        if headers.x_ratelimit:
            exposed += ["X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"]
        if headers.retry_after:
            exposed.append("Retry-After")
        self._exposed = tuple(exposed)
        self.is_silent = not (headers.ratelimit or headers.x_ratelimit)
        """Whether an allowed response is left as it is."""
        self.is_standard = headers.ratelimit and not headers.x_ratelimit
        """Whether `RateLimit` and `RateLimit-Policy` are all there is to write."""

    def add(
        self, present: Iterable[Pair], plan: RoutePlan, outcome: Outcome, now_ns: int, *, cross_origin: bool
    ) -> list[Pair]:
        """Return a response's headers with ours after them; the given ones are not changed.

        A list that is sent may belong to a response object that is sent again.
        """
        pairs = list(present)
        if self._ratelimit:
            field = plan.ratelimit_field(outcome)
            if field:
                pairs.append(plan.policy_pair)
                pairs.append((b"ratelimit", field))
        if self._x_ratelimit:
            pairs += legacy_pairs(plan, outcome, now_ns)
        if cross_origin and (not self.is_silent or any(name == b"retry-after" for name, _ in pairs)):
            return self.expose(pairs)
        return pairs

    def expose(self, pairs: list[Pair]) -> list[Pair]:
        """Return headers that let a browser's script of another origin read ours."""
        if not self._exposed:
            return pairs
        mine = ", ".join(self._exposed).encode("ascii")
        merged = []
        seen = False
        for name, value in pairs:
            if name.lower() == _EXPOSE:
                seen = True
                known = {part.strip().lower() for part in value.decode("latin-1").split(",")}
                missing = (
                    [] if "*" in known else [name for name in self._exposed if name.lower() not in known]
                )
                value = b", ".join((value, *(name.encode("ascii") for name in missing)))
            merged.append((name, value))
        if not seen:
            merged.append((_EXPOSE, mine))
        return merged

    def retry_after(self, wait_ns: int | None) -> tuple[Pair, ...]:
        """Return `Retry-After` for a refusal; nothing when no wait can help."""
        if wait_ns is None or not self._retry_after:
            return ()
        return ((b"retry-after", b"%d" % whole_seconds(wait_ns)),)


def whole_seconds(wait_ns: int) -> int:
    """Return a wait in seconds: rounded up, since too early is refused again, and at least 1."""
    return max(1, -(-wait_ns // _SECOND_NS))


def legacy_pairs(plan: RoutePlan, outcome: Outcome, now_ns: int) -> Sequence[Pair]:
    """Return `X-RateLimit-*` of the limit a client should mind most."""
    index = plan.tightest(outcome)
    if index < 0:
        return ()
    reset_s = -(-(now_ns + outcome.reset_after_ns(index)) // _SECOND_NS)
    return (
        (b"x-ratelimit-limit", b"%d" % plan.rules[index].burst),
        (b"x-ratelimit-remaining", b"%d" % outcome.remaining(index)),
        (b"x-ratelimit-reset", b"%d" % reset_s),
    )
