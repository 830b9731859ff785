"""Snapshots: knowledge of a campaign outlives the process, and an untrusted file is refused in words."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Event, current_thread
from typing import Any

import pytest

from ratelimit.clustering import snapshot
from ratelimit.clustering.hosts.snapshot import HostsSnapshot
from ratelimit.clustering.leader import Leader
from ratelimit.clustering.snapshot import Refused, SnapshotFile
from ratelimit.correlation import Correlator, Settings
from ratelimit.correlation.memory import findings_of, pieces_of, state_of
from tests.support.acting import BOTS, END_NS, NS, PEOPLE, Actor, caught
from tests.support.boards import COLUMNS, correlator, row
from tests.support.campaign import Request, campaign, policy_text
from tests.support.rule import EPOCH

KEY = bytes(range(16))
SECRET = 'key = "000102030405060708090a0b0c0d0e0f"'

CALLER = [(b"x-api-key", b"a"), (b"x-payment", b"p")]


def run(steps: Any) -> int:
    return sum(1 for _ in steps)


def saved(path: Path, subject: Correlator | None = None, key: bytes = KEY) -> SnapshotFile:
    """Return a snapshot of a correlator that has seen a little."""
    if subject is None:
        subject = correlator()
        for account in range(1, 40):
            subject.observe(row(account), EPOCH + account * NS)
    file = SnapshotFile(path, key)
    run(file.save(subject, EPOCH))
    file.put_in_place()
    return file


def memory_of(subject: Correlator) -> tuple[Any, ...]:
    return list(pieces_of(subject)), state_of(subject), list(findings_of(subject))


def test_what_is_restored_is_what_was_saved(tmp_path: Path) -> None:
    actor = caught()
    assert actor.limiter.clustering is not None
    leader = actor.limiter.clustering._leader
    assert leader is not None
    assert leader.correlator is not None
    before = leader.correlator
    file = saved(tmp_path / "s", before)
    after = Correlator(before.settings, EPOCH, before.core.columns)
    run(file.restore(after, END_NS))
    assert memory_of(after) == memory_of(before)
    assert after.kept == before.kept
    assert after.identities == before.identities
    # And both go on alike.
    for subject in (before, after):
        run(subject.rebuild(END_NS + 3600 * NS))
    assert memory_of(after) == memory_of(before)


def test_restart_of_everything_forgets_no_campaign(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    text = policy_text(store=f'memory = "{tmp_path / "store"}"', snapshot=str(tmp_path / "snapshot"))
    path.write_text(text.replace("[identities]", f"[hashing]\n{SECRET}\n[identities]"))
    actor = caught(path)
    cluster = actor.cluster("bot1")
    assert cluster != -1
    actor.limiter.close()
    # As after a reboot: whatever was in memory is gone.
    for left in tmp_path.glob("store*"):
        left.unlink()
    again = Actor(path, now_ns=END_NS + 60 * NS)
    assert again.clusters(BOTS) == {-1}
    again.tick()
    assert again.clusters(BOTS) == {cluster}
    assert again.clusters(PEOPLE) == {-1}
    assert again.noted.codes == []
    assert again.numbers["principals"] == 360
    again.rest_until(END_NS + 2 * 3600 * NS)
    assert again.clusters(BOTS) == {cluster}


@pytest.mark.parametrize("snapshot", [None, ""], ids=["by default", "refused by the policy"])
def test_who_takes_over_goes_on_from_beside_the_store(tmp_path: Path, snapshot: str | None) -> None:
    path = tmp_path / "policy.toml"
    text = policy_text(store=f'memory = "{tmp_path / "store"}"')
    if snapshot is not None:
        text = text.replace("[correlation]", f'[correlation]\nsnapshot = "{snapshot}"')
    path.write_text(text)
    actor = caught(path)
    clusters = actor.clusters(BOTS)
    assert -1 not in clusters
    actor.limiter.close()
    file = tmp_path / "store.actors-snapshot"
    assert file.exists() is (snapshot is None)
    if snapshot is None:
        assert file.stat().st_mode & 0o777 == 0o600
    again = Actor(path, now_ns=END_NS + 60 * NS)
    again.tick()
    assert again.numbers["principals"] == (360 if snapshot is None else 0)
    assert again.clusters(BOTS) == (clusters if snapshot is None else {-1})
    assert again.noted.codes == []


def test_private_memory_forgets(tmp_path: Path) -> None:
    actor = caught()
    assert actor.limiter.clustering is not None
    assert actor.limiter.clustering._snapshot() is None


def test_a_file_left_in_the_way_of_a_snapshot_is_not_written_into(tmp_path: Path) -> None:
    one = SnapshotFile(tmp_path / "s", KEY)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"precious")
    one._fresh.symlink_to(elsewhere)
    run(one.save(correlator(), EPOCH))
    one.put_in_place()
    assert elsewhere.read_bytes() == b"precious"
    assert not one.path.is_symlink()
    assert one.path.read_bytes().startswith(b"KINSNAP")


def test_correlator_that_waits_for_the_disk_leaves_its_successors_snapshot_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hazard: of one process the former correlator and the next write at one time, on a slow disk."""
    actor = caught(snapshot=str(tmp_path / "s"))
    clustering = actor.limiter.clustering
    assert clustering is not None
    first, is_there, at_disk, sync = clustering._leader, Event(), Event(), os.fsync
    assert isinstance(first, Leader)
    first.wait_until_saved()

    def slow(fd: int) -> None:
        if current_thread() is first._settling:
            at_disk.set()
            assert is_there.wait(60)
        sync(fd)

    monkeypatch.setattr(os, "fsync", slow)
    first.save_soon()
    actor.tick()
    assert at_disk.wait(60)
    board = clustering._board
    assert board.claim(board.term, os.getpid(), actor.clock.now_ns())  # as when its memory was damaged
    actor.rest_until(END_NS + 10 * NS)
    second = clustering._leader
    assert isinstance(second, Leader)
    assert second is not first
    second.save_soon()
    actor.tick()
    second.wait_until_saved()
    newest = (tmp_path / "s").read_bytes()
    is_there.set()
    first.wait_until_saved()
    assert (tmp_path / "s").read_bytes() == newest
    assert [path.name for path in tmp_path.iterdir()] == ["s"]
    assert actor.noted.codes == []


def refused(file: SnapshotFile, now_ns: int = EPOCH) -> str:
    with pytest.raises(Refused) as caught_:
        run(file.restore(correlator(), now_ns))
    return caught_.value.code


def test_snapshot_of_another_key_is_refused(tmp_path: Path) -> None:
    saved(tmp_path / "s")
    assert refused(SnapshotFile(tmp_path / "s", bytes(16))) == "snapshot-key"


@pytest.mark.parametrize("part", [b'"format":2', b'"shapes":'])
def test_snapshot_of_another_release_is_refused(tmp_path: Path, part: bytes) -> None:
    file = saved(tmp_path / "s")
    whole = file.path.read_bytes()
    other = part[:-1] + b"1" if part.endswith(b"2") else part + b"1"
    changed = whole.replace(part, other, 1)
    length = int.from_bytes(whole[8:16], "little") + len(changed) - len(whole)
    file.path.write_bytes(changed[:8] + length.to_bytes(8, "little") + changed[16:])
    assert refused(file) == "snapshot-version"


def test_file_that_is_no_snapshot_is_refused(tmp_path: Path) -> None:
    file = SnapshotFile(tmp_path / "s", KEY)
    for content, code in ((b"", "snapshot-damaged"), (b"version = 1\n" * 9, "snapshot-version")):
        file.path.write_bytes(content)
        assert refused(file) == code


def test_snapshot_cut_short_anywhere_is_refused(tmp_path: Path) -> None:
    file = saved(tmp_path / "s")
    whole = file.path.read_bytes()
    for size in [*range(0, 700, 23), *range(700, len(whole), 997), len(whole) - 33, len(whole) - 1]:
        file.path.write_bytes(whole[:size])
        assert refused(file) == "snapshot-damaged", size


def test_snapshot_with_one_bit_changed_anywhere_is_refused(tmp_path: Path) -> None:
    file = saved(tmp_path / "s")
    whole = file.path.read_bytes()
    for at in [*range(0, 700, 7), *range(700, len(whole), 499), len(whole) - 1]:
        file.path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert refused(file) in {"snapshot-damaged", "snapshot-version", "snapshot-key", "snapshot-future"}, (
            at
        )


def test_snapshot_with_something_behind_it_is_refused(tmp_path: Path) -> None:
    file = saved(tmp_path / "s")
    file.path.write_bytes(file.path.read_bytes() + b"x")
    assert refused(file) == "snapshot-damaged"


def test_snapshot_from_the_future_is_refused(tmp_path: Path) -> None:
    file = saved(tmp_path / "s")
    assert refused(file, EPOCH - 2 * 86400 * NS) == "snapshot-future"
    run(file.restore(correlator(), EPOCH - 86400 * NS))


def test_refused_snapshot_is_a_cold_start_in_words_and_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "snapshot"
    path.write_bytes(b"KINSNAP\nnonsense" * 50)
    actor = Actor(snapshot=str(path))
    assert actor.decide(_first()).allowed
    actor.tick()
    actor.clock.advance(1)
    actor.tick()
    assert actor.noted.codes == ["snapshot-damaged"]
    assert actor.numbers["principals"] == 1
    assert (tmp_path / "snapshot.refused").read_bytes() == b"KINSNAP\nnonsense" * 50
    actor.limiter.close()
    assert path.exists()


def test_snapshot_of_the_former_release_is_a_cold_start_in_words_and_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hazard: what another model remembered is taken for this one's."""
    path = tmp_path / "snapshot"
    text = policy_text(snapshot=str(path)).replace("[identities]", f"[hashing]\n{SECRET}\n[identities]")
    policy = tmp_path / "policy.toml"
    policy.write_text(text)
    with monkeypatch.context() as former:
        former.setattr(snapshot, "FORMAT", snapshot.FORMAT - 1)
        saved(path)
    before = path.read_bytes()
    actor = Actor(policy)
    assert actor.decide(_first()).allowed
    actor.tick()
    actor.clock.advance(1)
    actor.tick()
    assert actor.noted.codes == ["snapshot-version"]
    assert actor.numbers["principals"] == 1
    assert (tmp_path / "snapshot.refused").read_bytes() == before
    actor.limiter.close()
    assert path.read_bytes() != before


def _first() -> Request:
    return next(iter(campaign()))


def test_snapshot_that_cannot_be_read_is_a_cold_start_in_words(tmp_path: Path) -> None:
    path = tmp_path / "snapshot"
    path.mkdir()
    actor = Actor(snapshot=str(path))
    actor.decide(_first())
    actor.tick()
    actor.clock.advance(1)
    actor.tick()
    assert actor.noted.codes[0] == "snapshot-unreadable"
    assert actor.numbers["principals"] == 1


def test_snapshot_that_cannot_be_written_says_so_and_goes_on(tmp_path: Path) -> None:
    actor = Actor(snapshot=str(tmp_path / "missing" / "snapshot"))
    actor.decide(_first())
    actor.tick()
    assert actor.noted.codes == ["snapshot-unwritten"]
    actor.clock.advance(1000)
    assert actor.decide(_first()).allowed
    actor.limiter.close()


def test_one_failure_to_save_with_a_server_is_no_news_and_two_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hazard: a server that came back empty has told so, and each host's save under way warns as well."""
    monkeypatch.setattr(SnapshotFile, "tolerated", HostsSnapshot.tolerated)
    actor = Actor(snapshot=str(tmp_path / "missing" / "snapshot"))
    first = _first()
    for codes in ([], ["snapshot-unwritten"]):
        actor.limiter.decide(path="/v1/x", headers=first.headers, client=first.address)
        actor.tick()
        assert actor.noted.codes == codes
        actor.clock.advance(61)
    actor.limiter.close()


def test_saved_every_minute_while_something_happens_and_not_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "snapshot"
    actor = Actor(snapshot=str(path))
    clustering = actor.limiter.clustering
    assert clustering is not None

    def save_after(seconds: float, *, request: bool) -> bool:
        before = actor.numbers["saved_ns"]
        actor.clock.advance(seconds)
        if request:
            actor.limiter.decide(path="/v1/x", headers=CALLER, client="192.0.2.1")
        actor.tick()
        clustering.wait_until_saved()
        return actor.numbers["saved_ns"] != before

    actor.limiter.decide(path="/v1/x", headers=CALLER, client="192.0.2.1")
    actor.tick()
    clustering.wait_until_saved()
    assert not save_after(59, request=True)
    assert save_after(1, request=False)
    assert not save_after(600, request=False)
    assert save_after(1, request=True)
    assert [name.name for name in tmp_path.iterdir()] == ["snapshot"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_interrupted_save_leaves_the_last_snapshot(tmp_path: Path) -> None:
    file = saved(tmp_path / "s")
    before = file.path.read_bytes()
    steps = file.save(correlator(), EPOCH + NS)
    next(steps)
    steps.close()  # type: ignore[attr-defined]
    assert file.path.read_bytes() == before
    run(file.restore(correlator(), EPOCH))


def test_link_in_the_snapshots_place_is_not_followed(tmp_path: Path) -> None:
    saved(tmp_path / "elsewhere")
    (tmp_path / "s").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        run(SnapshotFile(tmp_path / "s", KEY).restore(correlator(), EPOCH))


def test_no_value_and_no_key_is_in_a_snapshot(tmp_path: Path) -> None:
    actor = caught(snapshot=str(tmp_path / "s"))
    key = actor.limiter.store.table.key
    actor.limiter.close()
    whole = (tmp_path / "s").read_bytes()
    for word in (key, b"bot1", b"stolen1", b"farm", b"person", b"45.0."):
        assert word not in whole


def test_saving_and_restoring_a_hundred_thousand_takes_small_slices(tmp_path: Path) -> None:
    from ratelimit.clock import processor_ns

    settings = Settings(principals=100_000, identifiers=300_000)
    subject = Correlator(settings, EPOCH, COLUMNS)
    for account in range(1, 100_001):
        subject.observe(row(account, account % 97), EPOCH + account)
    file = SnapshotFile(tmp_path / "s", KEY)

    def longest(steps: Any) -> int:
        most = 0
        while True:
            begin = processor_ns()
            is_done = next(steps, steps) is steps
            most = max(most, processor_ns() - begin)
            if is_done:
                return most

    slowest = min(longest(file.save(subject, EPOCH)) for _ in range(5))
    file.put_in_place()
    assert file.path.stat().st_size > 20_000_000
    assert slowest < 4_000_000, slowest
    again = Correlator(settings, EPOCH, COLUMNS)
    run(file.restore(again, EPOCH))
    assert again.evidence.principal_count == 100_000


def test_pipe_in_place_of_a_snapshot_keeps_nobody_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "s")
    assert refused(SnapshotFile(tmp_path / "s", KEY)) == "snapshot-damaged"
