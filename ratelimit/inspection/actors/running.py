"""The running deployment as the operator sees it: actors as last saved, limits and refusals as they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from ratelimit.clustering.declarations import principal_key
from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.inspection.access.attachment import attach
from ratelimit.inspection.access.server import server_of
from ratelimit.inspection.actors.evidence import Source, from_running
from ratelimit.inspection.actors.saved import Budget, budget_of
from ratelimit.inspection.failure import InspectionFailure
from ratelimit.inspection.hosts.refused import RefusedCaller, refused_callers
from ratelimit.policy import Policy
from ratelimit.stores.contract import Store


@dataclass(frozen=True, slots=True)
class RunningDeployment:
    """A running deployment, to look at its actors."""

    source: Source
    budget: Budget
    refused: Sequence[RefusedCaller]
    """The refusals of this host's limits; nothing where no worker runs here."""
    bound: BoundPolicy
    """The policy, bound to the store that its workers count in."""


@contextmanager
def look(policy: Policy) -> Iterator[RunningDeployment]:
    """Look at the workers that run a policy, as a whole; nothing is charged or counted.

    Raises:
        InspectionFailure: nothing is correlated, nothing was saved, or it is not ours to read.
    """
    with ExitStack() as stack:
        source = from_running(policy)
        # Of limits on requests at once only a worker may ask.
        is_here = policy.compiled.remote is None
        store: Store = attach(policy, takes_seat=True) if is_here else server_of(policy)
        stack.callback(store.close)
        bound = BoundPolicy(policy.compiled, store, store.clock.now_ns(), diagnose=lambda code: None)
        yield RunningDeployment(source, budget_of(bound), _refused(policy, stack), bound)


def _refused(policy: Policy, stack: ExitStack) -> Sequence[RefusedCaller]:
    try:
        here = attach(policy)
    except InspectionFailure:
        return ()
    stack.callback(here.close)
    return refused_callers(policy.compiled, here, {})


def revealed_hashes(bound: BoundPolicy, written: Sequence[str]) -> dict[int, str]:
    """Return which accounts values are, by the hash that clusters know them by.

    A principal of several identities is written with commas, in the policy's order.

    Raises:
        InspectionFailure: it has other parts, or one of them is no value.
    """
    spec = bound.compiled.correlation
    assert spec is not None
    names = [bound.compiled.identities[position].name for position in spec.principal]
    found = {}
    for text in written:
        parts = [text] if len(names) == 1 else text.split(",")
        values = [part.removeprefix(f"{name}=") for part, name in zip(parts, names, strict=False)]
        key = None
        if len(parts) == len(names):
            key = principal_key(spec, bound.compiled.identities, bound.extractor, values)
        if key is None:
            raise InspectionFailure(f"`{text}` is no account: it has {', '.join(names)} here", "call")
        found[key] = text
    return found
