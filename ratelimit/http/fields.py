"""Header fields about limits, as raw pairs.

`RateLimit` and `RateLimit-Policy` follow draft-ietf-httpapi-ratelimit-headers-11;
`X-RateLimit-*` is the older habit, which the policy may ask for. It tells the limit a client
should mind most, and in `-Reset` the Unix time at which it is whole again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ratelimit.algorithms import OF_SLOTS, PREPAID
from ratelimit.deciding.route_plan import RoutePlan
from ratelimit.policy.schema.headers import Headers
from ratelimit.stores.contract import Outcome

Pair = tuple[bytes, bytes]
ChargedPlan = tuple[RoutePlan, Outcome]
"""What limits decided of a request: together, or by name later on."""

_MILLISECOND_NS = 10**6
_SECOND_NS = 1_000_000_000
_DURATIONS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
_EXPOSE = b"access-control-expose-headers"


class HeaderWriter:
    """Writes the header pairs a policy's `headers` ask for."""

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
        """Return whether an allowed response is left as it is."""
        self.is_standard = headers.ratelimit and not headers.x_ratelimit
        """True if `RateLimit` and `RateLimit-Policy` are all there is to write."""

    def add(
        self, present: Iterable[Pair], plan: RoutePlan, outcome: Outcome, now_ns: int, *, cross_origin: bool
    ) -> list[Pair]:
        """Return a response's headers with ours after them; the given ones are not changed.

        A list that is sent may belong to a response object that is sent again.
        """
        return self.add_all(present, [(plan, outcome)], now_ns, cross_origin=cross_origin)

    def add_all(
        self, present: Iterable[Pair], decided: Sequence[ChargedPlan], now_ns: int, *, cross_origin: bool
    ) -> list[Pair]:
        """Return headers as `add` does, of all that was decided of one request, each limit once."""
        pairs = list(present)
        if self._ratelimit:
            told = [(plan.policy_field(outcome), plan.ratelimit_field(outcome)) for plan, outcome in decided]
            told = [both for both in told if both[1]]
            if told:
                pairs.append((b"ratelimit-policy", b", ".join(policy for policy, _ in told)))
                pairs.append((b"ratelimit", b", ".join(field for _, field in told)))
        if self._x_ratelimit:
            pairs += legacy_pairs(decided, now_ns)
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

    def retry_after(self, wait_ns: int | None, *, in_ms: bool = False) -> tuple[Pair, ...]:
        """Return `Retry-After` for a refusal; nothing when no wait can help.

        Args:
            wait_ns: how long to wait.
            in_ms: say it in milliseconds as well, which clients of model providers read first.
        """
        if wait_ns is None or not self._retry_after:
            return ()
        if in_ms:
            milliseconds = b"%d" % -(-wait_ns // _MILLISECOND_NS)
            return ((b"retry-after", b"%d" % whole_seconds(wait_ns)), (b"retry-after-ms", milliseconds))
        return ((b"retry-after", b"%d" % whole_seconds(wait_ns)),)


def whole_seconds(wait_ns: int) -> int:
    """Return a wait in seconds: rounded up, since too early is refused again, and at least 1."""
    return max(1, -(-wait_ns // _SECOND_NS))


def duration(wait_ns: int) -> str:
    """Return a wait in words, rounded up: milliseconds below a second, else its two largest units."""
    if wait_ns <= _SECOND_NS - _MILLISECOND_NS:
        return f"{max(1, -(-wait_ns // _MILLISECOND_NS))} ms"
    rest = -(-wait_ns // _SECOND_NS)
    words: list[str] = []
    for unit, size in _DURATIONS:
        count, rest = divmod(rest, size)
        if count:
            words.append(f"{count} {unit}")
        elif words:
            break
    return " ".join(words[:2])


def legacy_pairs(decided: Sequence[ChargedPlan], now_ns: int) -> Sequence[Pair]:
    """Return `X-RateLimit-*` of the limit a client should mind most: one that refuses, or has least left."""
    found = [(plan, outcome, plan.tightest(outcome)) for plan, outcome in decided]
    found = [each for each in found if each[2] >= 0]
    if not found:
        return ()
    plan, outcome, index = min(found, key=_share_left)
    # A slot is free when some request ends: nothing says when, and a client may try again as it is told to.
    is_slot = plan.rules[index].algorithm in OF_SLOTS
    wait_ns = max(outcome.retry_after_ns(index), 0) if is_slot else outcome.reset_after_ns(index)
    reset_s = -(-(now_ns + wait_ns) // _SECOND_NS)
    pairs = (
        (b"x-ratelimit-limit", b"%d" % plan.burst_of(outcome, index)),
        (b"x-ratelimit-remaining", b"%d" % outcome.remaining(index)),
        (b"x-ratelimit-reset", b"%d" % reset_s),
    )
    # Of a lifetime nothing comes back, so there is no time to say.
    return pairs[:2] if plan.rules[index].algorithm in PREPAID else pairs


def _share_left(told: tuple[RoutePlan, Outcome, int]) -> float:
    plan, outcome, index = told
    return -1.0 if not outcome.allowed else outcome.remaining(index) / max(1, plan.rules[index].burst)
