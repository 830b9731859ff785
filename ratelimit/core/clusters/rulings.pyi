"""The operator's rulings on principals, which inference cannot overrule."""

from collections.abc import Iterable
from typing import Literal, final

@final
class Rulings:
    """Which principals are in no cluster, in one together, or never in one together; by their keys.

    Args:
        exempt: never in a cluster.
        together: groups, each one actor whatever the evidence.
        apart: groups of which no two are ever in one cluster; the later in a group yields.
        confirm: principals that each name an actor that is certain.
        clear: principals that each name an actor that is neither certain nor likely.
    """

    def __init__(
        self,
        exempt: Iterable[int] = (),
        together: Iterable[Iterable[int]] = (),
        apart: Iterable[Iterable[int]] = (),
        confirm: Iterable[int] = (),
        clear: Iterable[int] = (),
    ) -> None: ...
    @property
    def confirm(self) -> frozenset[int]: ...
    @property
    def clear(self) -> frozenset[int]: ...
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
    def seal(self, label: int, sealed: bool) -> None:
        """Let no principal join a cluster but those ruled into it; or all that fit again."""
    def is_sealed(self, label: int) -> bool: ...
    def decree(self, confirmed: Iterable[int], cleared: Iterable[int]) -> None:
        """Say of which clusters those named are members; of one with both kinds nothing is said."""
    def decree_of(self, label: int) -> Literal["clear", "confirm"] | None:
        """Return what is said of a cluster, by the accounts named in it."""
