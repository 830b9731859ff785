"""How well a principal fits a cluster; what all the judge's passes share."""

from collections.abc import Mapping

from typing_extensions import disjoint_base

from ratelimit.core.evidence import Evidence
from ratelimit.core.sighting import Columns

@disjoint_base
class Fitting:
    """Labels on principals, a profile of each cluster, and the arithmetic between them.

    A pass takes `start` and `stop` and walks that range of principals or identifiers;
    a range past the end is cut short. What order passes come in is `rebuild`'s business.

    Args:
        evidence: what is judged.
        columns: where rows of identities have what it looks at.
        clusters: how many there may be at once.
        settings: numbers by the names of the core's `Settings`.
    """
    @property
    def evidence(self) -> Evidence: ...
    @property
    def columns(self) -> Columns: ...
    @property
    def most_clusters(self) -> int: ...
    @property
    def labels(self) -> int:
        """The highest label in use."""
    @property
    def judging(self) -> bool:
        """Whether a rebuild is under way: newcomers then wait for its end."""
    @property
    def numbered(self) -> int:
        """How many payment methods have a number during a rebuild."""
    def __init__(
        self, evidence: Evidence, columns: Columns, *, clusters: int, settings: Mapping[str, float]
    ) -> None: ...
