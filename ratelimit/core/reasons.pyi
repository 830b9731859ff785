"""Why a principal is in its cluster."""

from typing import Any

from ratelimit.core.judge import Judge

FAMILIES: tuple[str, ...]

def reasons(judge: Judge, key: int, /) -> dict[str, Any] | None:
    """Return what binds a principal to its cluster, by family; None when it is not remembered.

    `families` is empty for who is in none. `binds_without` says whether it would stay a
    member if that family said nothing. `shared` has everything it was lately seen with, by
    kind and hash. Walks over all principals: not for the way of a request.
    """
