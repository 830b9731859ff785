"""The steps between evidence and clusters, one at a time."""

from __future__ import annotations

import itertools
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.correlation.parts import parts_of
from ratelimit.correlation.rebuild import SEEDS, Groups, Rebuild
from ratelimit.correlation.settings import Settings
from tests.correlation.sights import NS, START_S, clusters, correlator, keys_of, mixed, rebuild, row, show

OVERLAP = Settings().client_overlap

A, B, C, D = 1, 2, 4, 8


def result_of(steps: Generator[None, None, Any]) -> Any:
    """Return what steps come to."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


@pytest.mark.parametrize(
    ("masks", "clients", "together", "apart"),
    [
        # Two clients on most of each other's payment methods are one actor's.
        ({A: 5, B: 5, A | B: 10}, 2, [(A, B)], []),
        # Two actors with two clients each.
        ({A | B: 10, C | D: 10}, 4, [(A | B, A | B)], [(A | B, C | D)]),
        # Twice is chance, three times is not.
        ({A: 4, B: 4, A | B: 2}, 2, [], [(A, B)]),
        ({A: 4, B: 4, A | B: 3}, 2, [(A, B)], []),
        # A quarter of the rarer one's payment methods.
        ({A: 90, B: 9, A | B: 3}, 2, [(A, B)], []),
        ({A: 90, B: 10, A | B: 3}, 2, [], [(A, B)]),
        # What overlaps in a chain is one.
        ({A | B: 10, B | C: 10, C | D: 10}, 4, [(A | B, C | D)], []),
        # A payment method between two actors is claimed by neither.
        ({A: 50, B: 50, A | B: 2}, 2, [], [(A, A | B), (B, A | B)]),
    ],
)
def test_clients_that_occur_together_are_one_actors(
    masks: dict[int, int], clients: int, together: list[tuple[int, int]], apart: list[tuple[int, int]]
) -> None:
    parts = result_of(parts_of(masks, clients, OVERLAP))
    assert set(parts) == set(masks)
    for one, other in together:
        assert parts[one] == parts[other] != 0
    for one, other in apart:
        assert parts[one] != parts[other]


def test_no_clients_are_no_parts() -> None:
    assert result_of(parts_of({}, 0, OVERLAP)) == {}


@given(
    st.dictionaries(st.integers(1, 255), st.integers(1, 20), max_size=20), st.randoms(use_true_random=False)
)
def test_parts_do_not_depend_on_order(masks: dict[int, int], source: Any) -> None:
    shuffled = list(masks.items())
    source.shuffle(shuffled)
    assert result_of(parts_of(dict(shuffled), 8, OVERLAP)) == result_of(parts_of(masks, 8, OVERLAP))


class Labels:
    """Stands in for the core: gives out labels, and nothing else."""

    def __init__(self, room: int = 100) -> None:
        self._labels = itertools.count(1)
        self._room = room

    def open(self) -> int:
        label = next(self._labels)
        return label if label <= self._room else 0


def labels_of(groups: Groups, *, members: int = 12, payments: int = 4, room: int = 100) -> dict[Any, int]:
    return result_of(_seeder(room)._labels(groups, members, payments))


def _seeder(room: int = 100, descents: list[tuple[int, int]] | None = None) -> Rebuild:
    heirs: list[tuple[int, int]] = [] if descents is None else descents
    return Rebuild(
        Labels(room),  # type: ignore[arg-type]
        Settings(),
        (),
        lambda *_: None,
        lambda label, heir: heirs.append((label, heir)),
    )


@pytest.mark.parametrize(
    ("size", "is_opened"), [((12, 4, {}), True), ((11, 4, {}), False), ((12, 3, {}), False)]
)
def test_a_group_is_worth_refining_from_a_size_on(size: Any, is_opened: bool) -> None:
    assert bool(labels_of({(1, 0): size})) == is_opened


def test_two_actors_on_the_same_exits_get_a_label_each() -> None:
    labels = labels_of({(1, 1): (50, 10, {}), (1, 2): (40, 8, {}), (1, 0): (30, 6, {})})
    # Whose payment methods no part claims are either's: each has to fit by itself.
    assert set(labels) == {(1, 1), (1, 2)}
    assert len(set(labels.values())) == 2


def test_what_no_part_claims_is_the_only_actors() -> None:
    labels = labels_of({(1, 1): (50, 10, {}), (1, 0): (50, 6, {})})
    assert set(labels) == {(1, 1), (1, 0)}
    assert len(set(labels.values())) == 1
    # Unless it is more than that actor has: then it is a crowd that chance joined to it.
    assert set(labels_of({(1, 1): (50, 10, {}), (1, 0): (51, 6, {})})) == {(1, 1)}


def test_a_small_actor_stands_alone_in_a_large_crowd() -> None:
    # Chance joins many people's payment methods where there are many people, and a campaign's to them.
    assert len(set(labels_of({(1, 1): (1353, 89, {}), (1, 2): (90, 18, {})}).values())) == 2
    # What is no group by itself goes with the only one that is.
    assert len(set(labels_of({(1, 1): (1353, 89, {}), (1, 2): (11, 4, {})}).values())) == 1
    assert len(set(labels_of({(1, 1): (1353, 89, {}), (1, 2): (90, 3, {})}).values())) == 1


def test_a_crumb_of_a_known_actor_stays_with_it() -> None:
    # Else each would have a budget of its own.
    assert len(set(labels_of({(1, 1): (1900, 90, {7: 1000}), (1, 2): (100, 18, {})}).values())) == 2
    assert len(set(labels_of({(1, 1): (1901, 90, {7: 1000}), (1, 2): (99, 18, {})}).values())) == 1
    assert len(set(labels_of({(1, 1): (1901, 90, {7: 999}), (1, 2): (99, 18, {})}).values())) == 2


def test_a_known_cluster_goes_on_under_its_own_label() -> None:
    assert labels_of({(1, 0): (50, 10, {7: 40, 8: 10})}) == {(1, 0): 7}
    # Both would be 7: it goes on as the larger, and the other is new.
    descents: list[tuple[int, int]] = []
    groups: Groups = {(1, 0): (50, 10, {7: 5}), (2, 0): (60, 10, {7: 6})}
    labels = result_of(_seeder(descents=descents)._labels(groups, 12, 4))
    assert labels[2, 0] == 7
    assert labels[1, 0] != 7
    # Which does not begin with a fresh budget.
    assert descents == [(7, labels[1, 0])]


def test_a_crowd_does_not_go_on_as_the_cluster_of_a_few_in_it() -> None:
    # What no part claims is left as it is, the known cluster among it.
    groups: Groups = {(1, 1): (3680, 122, {3: 10}), (1, 0): (1161, 179, {3: 95}), (1, 2): (94, 9, {})}
    assert 3 not in labels_of(groups).values()


def test_there_is_no_label_left() -> None:
    groups: Groups = {(number, 0): (50 + number, 10, {}) for number in range(1, 6)}
    assert set(labels_of(groups, room=2)) == {(5, 0), (4, 0)}


def test_a_flood_of_groups_is_cut() -> None:
    groups: Groups = {(number, 0): (20, 5, {}) for number in range(1, 10 * SEEDS)}
    assert len(labels_of(groups, room=10_000)) == SEEDS


# -- the whole of it ----------------------------------------------------------------------------------


def test_a_rebuild_of_nothing_finds_nothing() -> None:
    one = correlator()
    assert rebuild(one, START_S) > 0
    assert one.members() == {}


def test_the_actor_is_found_and_nobody_else() -> None:
    one = correlator()
    show(one, mixed())
    assert clusters(one) == [keys_of({f"bad-{number}" for number in range(100)})]


def test_a_rebuild_given_up_halfway_leaves_no_scratch_behind() -> None:
    one = correlator()
    show(one, mixed(), rebuilds=False)
    halfway = one.rebuild((START_S + 6 * 3600) * NS)
    for _ in range(5):
        next(halfway)
    assert one.core.judging
    halfway.close()  # type: ignore[attr-defined]
    assert not one.core.judging
    rebuild(one, START_S + 6 * 3600)
    assert len(clusters(one)) == 1


def test_what_is_seen_during_a_rebuild_is_not_lost() -> None:
    one = correlator(slice_entries=64)
    show(one, mixed(), rebuilds=False)
    then_ns = (START_S + 6 * 3600) * NS
    for number, _ in enumerate(one.rebuild(then_ns)):
        one.observe(row(f"late-{number}", payment=f"late {number}", client="build-1"), False, then_ns)
    known = one.evidence.principal_count
    assert number > 50
    assert known == 500 + number + 1
    rebuild(one, START_S + 6 * 3600)
    assert clusters(one) == [keys_of({f"bad-{number}" for number in range(100)})]


@pytest.mark.parametrize("slice_entries", [1, 7, 100, 4096, 10**6])
def test_the_length_of_slices_changes_nothing(slice_entries: int) -> None:
    one = correlator(slice_entries=slice_entries)
    show(one, mixed(honest=60, bad=40), rebuilds=False)
    slices = rebuild(one, START_S + 6 * 3600)
    assert (slices > 500) == (slice_entries < 10)
    assert clusters(one) == [keys_of({f"bad-{number}" for number in range(40)})]


class Recorded:
    """A core of which it is noted which of its passes were run."""

    def __init__(self, core: Any) -> None:
        self._core = core
        self.passes: list[str] = []

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._core, name)
        if callable(found):
            self.passes.append(name)
        return found


def test_members_are_weighed_by_counts_and_never_by_what_seeds_left_behind() -> None:
    # Both use one memory. Groups that are looked for in vain leave something, too.
    one = correlator()
    show(one, mixed())
    core = Recorded(one.core)
    one.core = core  # type: ignore[assignment]
    rebuild(one, START_S + 7 * 3600)
    seeds = {
        "suspect",
        "unite",
        "mask",
        "roamers",
        "prune",
        "remark",
        "size_trees",
        "groups",
        "adopt",
        "plant",
    }
    counted = False
    for name in core.passes:
        counted = (counted or name == "support") and name not in seeds
        assert counted or name not in {"assign", "release"}, name
    assert {"suspect", "roamers", "support", "assign"} <= set(core.passes)
