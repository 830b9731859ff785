"""The operator's overrides on principals, put into force at the end of a rebuild.

Theory of operation. The core asks the overrides wherever it looks for a principal's cluster,
and between rebuilds that is all. A rebuild infers clusters as if no principals were ruled together.
At its end the clusters that a group is found in become one. That is the one it was in before, else the
largest, else one of its own. Of those ruled apart the later leaves. A cluster that is there only
because it was declared is *declared only*. No principal joins it by evidence, since it never passed
as one actor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from ratelimit.core.clusters.cluster_index import ClusterIndex
from ratelimit.core.clusters.overrides import Overrides
from ratelimit.correlation.classification import DECLARED, Finding, unmeasured

Walk = Callable[[Callable[[int, int], object]], Iterator[None]]
"""Runs a pass over all principals in slices."""


class Enforcement:
    """The overrides in one rebuild.

    Args:
        core: evidence and labels.
        overrides: what was said.
        note_successor: called with two labels when the second takes over what the first used.
    """

    def __init__(
        self, core: ClusterIndex, overrides: Overrides, note_successor: Callable[[int, int], None]
    ) -> None:
        self._core = core
        self._overrides = overrides
        self._note_successor = note_successor
        self._passed: dict[int, Finding] = {}
        self._failed: set[int] = set()
        self.has_moved = False
        """True if any principal changed places, so that clusters are to be counted again."""

    def bind(self) -> None:
        """Find the clusters the groups are in, whatever put them there: an earlier run may have."""
        for group, keys in enumerate(self._overrides.together):
            labels = {label for key in keys if (label := self._core.label_of(key))}
            # In several, they stay there until these are made one whole: see `_gather`.
            self._overrides.bind(group, labels.pop() if len(labels) == 1 else 0)

    @property
    def held(self) -> set[int]:
        """The clusters of accounts that the operator names."""
        return self._bound()

    def keeps(self, label: int) -> bool:
        """Return whether a cluster that did not pass stays, for those ruled into it."""
        if label not in self._bound():
            return False
        self._failed.add(label)
        return True

    def passed(self, label: int, found: Finding) -> None:
        """Note that a cluster passed by its evidence, override or not."""
        self._passed[label] = found

    def run(self, walk: Walk) -> Iterator[None]:
        """Put all overrides into force; yield between slices."""
        core, overrides = self._core, self._overrides
        for label in sorted(self._failed):
            yield from walk(partial(core.drop_inferred, label=label))
            self.has_moved = True
        for group, keys in enumerate(overrides.together):
            yield from self._gather(group, [key for key in keys if core.knows(key)], walk)
        for keys in overrides.apart:
            taken: set[int] = set()
            for key in keys:
                label = core.label_of(key)
                if label in taken:
                    self.has_moved |= core.assign(key, 0)
                elif label:
                    taken.add(label)
        for label in range(1, core.most_clusters + 1):
            overrides.set_declared_only(label, False)
        for label, (_, classification) in self.found():
            overrides.set_declared_only(label, classification is DECLARED)

    def found(self) -> list[tuple[int, Finding]]:
        """Return the clusters of groups, what they are like and what they are kept for."""
        core = self._core
        return [
            (label, self._passed.get(label) or (unmeasured(core.size(label)), DECLARED))
            for label in sorted(self._bound() & set(core.live()))
        ]

    def _bound(self) -> set[int]:
        groups = range(len(self._overrides.together))
        return {label for group in groups if (label := self._overrides.label(group))}

    def _gather(self, group: int, keys: list[int], walk: Walk) -> Iterator[None]:
        """Bring a group into one cluster."""
        core = self._core
        if len(keys) < 2:
            self._overrides.bind(group, 0)
            return
        sizes = {label: core.size(label) for key in keys if (label := core.label_of(key))}
        labels = sorted(sizes, key=lambda label: (-sizes[label], label))
        before = self._overrides.label(group)
        into = before if before in core.live() else labels[0] if labels else core.open_label()
        if not into:
            return
        for label in labels:
            if label == into:
                continue
            if label in self._passed:
                self._passed.setdefault(into, self._passed[label])
            core.close_label(label)
            self._note_successor(label, into)
            yield from walk(partial(core.merge, label=label, into=into))
            self.has_moved = True
        for key in keys:
            self.has_moved |= core.assign(key, into)
        self._overrides.bind(group, into)
