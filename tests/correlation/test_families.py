"""Families that the policy adds: remembered where it names some, and no burden where it names none."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from ratelimit.clustering.snapshot import Refused, SnapshotFile
from ratelimit.core.clusters.evidence import EDGE_BYTES, PRINCIPAL_BYTES, Evidence
from ratelimit.core.clusters.image import Image
from ratelimit.core.clusters.sighting import Columns
from ratelimit.correlation import Correlator, Settings
from ratelimit.correlation.memory import transplant
from tests.correlation.sights import (
    CREATED_AT,
    DAY_S,
    NS,
    START_S,
    Sight,
    campaign,
    clusters,
    crowd,
    rebuild,
    row,
    show,
    together,
)

SIZES = Settings(principals=4000, identifiers=16000, clusters=64)


def correlator(extras: int) -> Correlator:
    """Return a correlator that looks at this many families besides."""
    kinds = [position if position < 5 + extras or position == 8 else -1 for position in range(1, 9)]
    return Correlator(SIZES, START_S * NS, Columns((0,), kinds, CREATED_AT))


def sights() -> list[Sight]:
    """Return people and one actor, with accounts that share devices as well."""
    rng = random.Random(4)
    seen = together(crowd(300, rng), campaign(100, rng))
    return [
        Sight(
            one.at_s,
            one.account,
            [*one.row[:5], *row(one.account, device=len(one.account) % 3)[5:8], *one.row[8:]],
        )
        for one in seen
    ]


@pytest.mark.parametrize("extras", range(4))
def test_principals_have_edges_of_the_families_there_are(extras: int) -> None:
    one = correlator(extras).evidence
    assert one.edges == 13 + extras
    assert one.principal_bytes == PRINCIPAL_BYTES + extras * EDGE_BYTES


def test_gap_among_families_counts_as_one() -> None:
    assert Columns((0,), (1, 2, 3, 4, -1, -1, 5, 6)).extras == 3


def test_more_families_than_there_are_edges_for() -> None:
    for extras in (-1, 4):
        with pytest.raises(ValueError, match="up to 3"):
            Evidence(principals=16, identifiers=64, now_s=START_S, kept_s=(DAY_S,) * 8, extras=extras)


def test_what_is_not_looked_at_changes_nothing() -> None:
    with_room, without = correlator(3), correlator(0)
    for sight in sights():
        bare = [*sight.row[:5], *row(sight.account)[5:8], *sight.row[8:]]
        with_room.observe(bare, int(sight.at_s * NS))
        without.observe(bare, int(sight.at_s * NS))
    later_s = START_S + DAY_S // 3
    assert rebuild(with_room, later_s) == rebuild(without, later_s)
    assert [len(found) for found in clusters(without)] == [100]
    assert with_room.kept == without.kept
    for key in (sight.row[0] for sight in sights()):
        assert with_room.explain(key) == without.explain(key)


@pytest.mark.parametrize(("before", "after"), [(1, 0), (0, 1), (1, 3)])
def test_policy_that_names_other_families_keeps_what_is_known(
    tmp_path: Path, before: int, after: int
) -> None:
    one = correlator(before)
    show(one, sights())
    rebuild(one, START_S + DAY_S // 3)
    assert [len(found) for found in clusters(one)] == [100]
    moved, restored = correlator(after), correlator(after)
    for _ in transplant(one, moved):
        pass
    file = SnapshotFile(tmp_path / "s", bytes(16))
    for _ in file.save(one, one.now_ns):
        pass
    file.put_in_place()
    for _ in file.restore(restored, one.now_ns):
        pass
    for other in (moved, restored):
        assert clusters(other) == clusters(one)
        rebuild(other, START_S + DAY_S // 3 + 60)
        assert clusters(other) == clusters(one)


@pytest.mark.parametrize(
    "size", [0, 1, PRINCIPAL_BYTES - EDGE_BYTES, PRINCIPAL_BYTES + 4 * EDGE_BYTES, 2**80]
)
def test_principals_of_another_size_are_refused(tmp_path: Path, size: int) -> None:
    assert not Image(correlator(0).core).fits(0, size)
    one = correlator(0)
    show(one, sights()[:50])
    file = SnapshotFile(tmp_path / "s", bytes(16))
    for _ in file.save(one, one.now_ns):
        pass
    file.put_in_place()
    whole = file.path.read_bytes()
    said = b'["principals",%d,' % PRINCIPAL_BYTES
    changed = whole.replace(said, b'["principals",%d,' % size, 1)
    assert changed != whole
    length = int.from_bytes(whole[8:16], "little") + len(changed) - len(whole)
    file.path.write_bytes(changed[:8] + length.to_bytes(8, "little") + changed[16:])
    with pytest.raises(Refused, match="snapshot-version"):
        for _ in file.restore(correlator(0), one.now_ns):
            pass
