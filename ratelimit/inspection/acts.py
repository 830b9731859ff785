"""How many acts of the operator's hold on this host, from the file beside its table; nothing is asked."""

from __future__ import annotations

from ratelimit.clock import SystemClock
from ratelimit.errors import StoreError
from ratelimit.policy import Policy
from ratelimit.stores.acts.act import in_force
from ratelimit.stores.acts.file import ActFile
from ratelimit.stores.factory import wish_of


def acts_in_force(policy: Policy) -> int:
    """Return how many acts hold beside a policy file; 0 where no worker has run here."""
    try:
        place = wish_of(policy, needs_key=False).place
    except StoreError:
        return 0
    acts = [] if place is None else ActFile(place).read()
    now_ns = SystemClock().now_ns()
    return sum(len(in_force(acts, key, now_ns)) for key in {act.key for act in acts})
