"""The operator's overrides on principals, which inference cannot overrule."""

from collections.abc import Iterable, Mapping
from typing import Literal, final

@final
class Overrides:
    """Principals that are in no cluster, in one together, or never in one together; by their keys.

    Args:
        exempt: never in a cluster.
        together: groups, each one actor whatever the evidence.
        apart: groups of which no two are ever in one cluster; the later in a group yields.
        confirm: principals that each name an actor that is certain, and how late each was said.
        clear: the same of actors that are neither certain nor likely. Of what is said of one actor the latest counts.
    """

    def __init__(
        self,
        exempt: Iterable[int] = (),
        together: Iterable[Iterable[int]] = (),
        apart: Iterable[Iterable[int]] = (),
        confirm: Mapping[int, int] = ...,
        clear: Mapping[int, int] = ...,
    ) -> None: ...
    @property
    def confirm(self) -> dict[int, int]: ...
    @property
    def clear(self) -> dict[int, int]: ...
    @property
    def exempt(self) -> frozenset[int]: ...
    @property
    def together(self) -> tuple[tuple[int, ...], ...]: ...
    @property
    def apart(self) -> tuple[tuple[int, ...], ...]: ...
    def bind(self, group: int, label: int) -> None:
        """Note the cluster that a group of `together` is in, 0 for none."""
    def label(self, group: int) -> int:
        """Return the cluster that a group of `together` is in."""
    def set_declared_only(self, label: int, declared_only: bool) -> None:
        """Let no principal join a cluster but those ruled into it; or all that fit again."""
    def is_declared_only(self, label: int) -> bool: ...
    def set_clusters(self, confirmed: Iterable[int], cleared: Iterable[int]) -> None:
        """Say of which clusters those named are members; of one with both kinds nothing is said."""
    def override_of_cluster(self, label: int) -> Literal["clear", "confirm"] | None:
        """Return what is said of a cluster, by the accounts named in it."""
