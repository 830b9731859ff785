"""Old evidence that a new declaration makes void."""

from ratelimit.core.clusters.evidence import Evidence
from ratelimit.core.clusters.organisations import Organisations

def split_shared_methods(evidence: Evidence, organisations: Organisations, start: int, stop: int, /) -> int:
    """Give members of organisations payment methods of their own for those they share; return how many.

    Of a range of principals. How many use a payment method is counted again by the next rebuild.
    Their addresses are hashes from which no network can be told, and fade by themselves.
    """
