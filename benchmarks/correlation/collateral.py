"""The cost to the honest: requests and accounts refused because of correlation, by class."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from benchmarks.correlation.contender import Outcome
from benchmarks.correlation.trace import Trace


@dataclass(frozen=True, slots=True)
class Harm:
    """Of some accounts.

    Args:
        requests: sent.
        refused: share of them refused because of correlation: beyond what the control refuses.
        accounts: seen.
        ever: share of them that correlation refused at least one request.
        clustered: share of them in a cluster at the end; no harm by itself.
    """

    requests: int
    refused: float
    accounts: int
    ever: float
    clustered: float

    def as_dict(self) -> dict[str, float]:
        """Return it for machines."""
        return asdict(self)


def harm(trace: Trace, outcome: Outcome, control: Outcome, among: np.ndarray) -> Harm:
    """Return what happened to some accounts (a mask)."""
    sent = among[trace.account]
    requests = int(sent.sum())
    more = int((~outcome.admitted[sent]).sum()) - int((~control.admitted[sent]).sum())
    refused = np.unique(trace.account[sent & ~outcome.admitted & control.admitted])
    seen = np.unique(trace.account[sent])
    return Harm(
        requests,
        max(0, more) / max(requests, 1),
        len(seen),
        len(refused) / max(len(seen), 1),
        float((outcome.final[seen] >= 0).mean()) if len(seen) else 0.0,
    )


def by_class(trace: Trace, outcome: Outcome, control: Outcome) -> dict[str, Harm]:
    """Return harm to each class of honest accounts, to `honest` as a whole, and to `victims` if any."""
    truth = trace.truth
    found = {"honest": harm(trace, outcome, control, truth.honest)}
    if truth.victim.any():
        found["victims"] = harm(trace, outcome, control, truth.victim)
    for number, name in enumerate(truth.klasses):
        among = (truth.klass == number) & truth.honest
        if among.any():
            found[name] = harm(trace, outcome, control, among)
    return found
