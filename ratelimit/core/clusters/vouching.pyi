"""Payment methods that established accounts pay with.

A payment method is as old as its oldest account: new accounts that pay with it are not bound by limits
for new ones. An account vouches for the payment method it was seen with last, and for no other.
"""

from ratelimit.core.clusters.evidence import Evidence

def forget(evidence: Evidence, start: int, stop: int, /) -> None:
    """Forget which accounts vouched for the payment methods among a range of identifiers."""

def vouch(evidence: Evidence, new_s: int, start: int, stop: int, /) -> None:
    """Let the principals in a range vouch, those that were created `new_s` ago or longer; note where others pay."""
