"""A stage's part in the compiled decider."""

from typing_extensions import disjoint_base

@disjoint_base
class Guard:
    """Looks at each request that the compiled decider is about to decide, and at what was decided.

    Where it has something to say the request is decided in Python, by its stage. Here it has not.
    Compiled modules derive from it.
    """
