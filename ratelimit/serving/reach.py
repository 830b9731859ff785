"""Limits that a proxy's calls cannot carry, or that a client could dodge there: said when serving begins."""

from __future__ import annotations

from collections.abc import Iterator

from ratelimit.algorithms import OF_SLOTS
from ratelimit.asgi.check import Proxy
from ratelimit.limiter import Limiter
from ratelimit.load.compile import loads_of
from ratelimit.serving.descriptors import REQUESTS


def untold_here(limiter: Limiter, *, by_descriptors: bool, proxy: Proxy | None) -> Iterator[str]:
    """Yield a sentence for each kind of such limits, with the first of them.

    Args:
        limiter: has the policy.
        by_descriptors: whether Envoy's service is served.
        proxy: which proxy asks over HTTP, None where none does.
    """
    rules, compiled = limiter.rules, limiter.current.compiled
    asking = [rule.name for rule in rules if rule.asks]
    if asking:
        yield (
            f"{asking[0]}: a proxy's call cannot do a step-up, so limits that challenge refuse "
            "until an application of the same policy has let the caller pass"
        )
    is_checked = by_descriptors or proxy is not None
    held = [rule.name for rule in rules if rule.algorithm in OF_SLOTS]
    if held and is_checked:
        yield f"{held[0]}: a call has no end, so limits on what runs at once never refuse here"
    loads = [spec.name for spec in loads_of(compiled)]
    if loads and is_checked:
        yield (
            f"[adaptive] {loads[0]}: a check tells no first byte of an answer, so its requests "
            "are neither counted nor shed here"
        )
    messages = [limit.name for limit in compiled.limits if limit.on == "message"]
    if messages:
        yield f"{messages[0]}: a proxy checks handshakes alone, so limits on messages never refuse here"
    connects = [limit.name for limit in compiled.limits if limit.on == "connect"]
    if connects and by_descriptors:
        yield (
            f"{connects[0]}: Envoy has to mark handshakes, for limits on them to refuse: "
            "give its descriptors the key upgrade, as examples/envoy does"
        )
    by_status = [rule.name for rule in rules if rule.statuses]
    if by_status and by_descriptors:
        yield (
            f"{by_status[0]}: each request is charged until Envoy says the status of its answer at the end "
            "of the stream: give it a descriptor with the unit `status`, as docs/serve.md does"
        )
    if by_status and proxy is not None:
        yield (
            f"{by_status[0]}: a check over HTTP comes before the answer, so each request is charged there, "
            "whatever its status"
        )
    in_flight = [rule.name for rule in rules if rule.is_exposure]
    if in_flight:
        yield (
            f"{in_flight[0]}: a proxy may never say that a request has ended, so what it has in flight "
            "(`exposure`) counts for no later one here"
        )
    free = [
        rule.name for rule in rules if rule.unit != REQUESTS and not rule.estimate and rule.metering is None
    ]
    if free and by_descriptors:
        yield (
            f"{free[0]}: without an estimate, a client that hangs up before the head of the answer is not "
            "charged: write `cost = …` for the limit"
        )
    if (
        proxy is not None
        and proxy != "nginx"
        and compiled.trust.networks
        and compiled.trust.header == "forwarded"
    ):
        yield (
            f"the policy reads Forwarded, and {proxy} passes on what a client writes there: "
            "take the word `forwarded` out of `proxies`"
        )
