"""Who belongs to a cluster that it fits so well: the rules beside the sum."""

from ratelimit.core.seeds import Seeds

class Admission(Seeds):
    """Rules that a sum of evidence cannot express: what is enough together, and what is not whatever the sum."""
