"""Laws that every controller keeps, whatever it is told."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.adaptive.aimd import Aimd
from benchmarks.adaptive.gradient2 import Gradient2
from benchmarks.adaptive.vegas import Vegas
from ratelimit.load.model.admission import Admission
from ratelimit.load.model.controller import AnsweredRequest, Controller, Load, Settings
from ratelimit.load.model.first_byte import FirstByte
from ratelimit.load.model.learned import LearnedTarget
from tests.load.flights import flight

SECOND = 10**9
Make = Callable[[Settings], Controller]
BOUNDS = Settings(first_byte_ns=SECOND, floor=4, start=20, ceiling=400)
CONTROLLERS: dict[str, Make] = {
    "first byte": FirstByte,
    "aimd": Aimd,
    "gradient2": Gradient2,
    "vegas": Vegas,
}
each = pytest.mark.parametrize("make", CONTROLLERS.values(), ids=CONTROLLERS)
instants = st.integers(-(2**62), 2**62)
counts = st.integers(0, 5_000)
numbers = st.integers(1, 5_000)
answers = st.builds(AnsweredRequest, instants, instants, numbers, numbers, st.integers(0, 255))
loads = st.builds(
    Load,
    counts,
    counts,
    counts,
    counts,
    counts,
    st.lists(st.tuples(instants, st.integers(1, 5_000)), max_size=5),
)
events = st.lists(st.one_of(answers, st.tuples(instants, loads), st.tuples(instants, instants)), max_size=60)


@each
@settings(max_examples=80, deadline=None)
@given(told=events, running=counts)
def test_allowance_is_bounded_whatever_is_told(make: Make, told: list, running: int):
    controller = make(BOUNDS)
    for event in told:
        if isinstance(event, AnsweredRequest):
            controller.observe(event)
        elif isinstance(event[1], Load):
            controller.step(*event)
        else:
            controller.failed(*event)
        allowance = controller.bounds().at(running)
        assert BOUNDS.floor <= allowance.in_flight <= BOUNDS.ceiling
        assert 1 <= allowance.unanswered <= BOUNDS.ceiling


def steadily(controller: Controller, took_ns: int, seconds: int, queue: int = 20) -> list[int]:
    """Let a back end answer ten times a second, each first byte after as long; the limit is in use."""
    seen = []
    for tick in range(seconds * 10):
        now_ns = tick * SECOND // 10
        controller.observe(AnsweredRequest(now_ns - took_ns, now_ns, queue, queue))
        controller.step(now_ns, Load(queue, queue, 400, 400, 1, ()))
        seen.append(controller.bounds().at(0).unanswered)
    return seen


@pytest.mark.parametrize("make", [FirstByte, Aimd], ids=["first byte", "aimd"])
@settings(max_examples=20, deadline=None)
@given(quick=st.integers(1, 3_000), slower=st.integers(0, 3_000))
def test_slower_first_bytes_never_leave_more(make: Make, quick: int, slower: int):
    """Where each settles: the slower back end is looked at later, as its answers come later."""
    faster = steadily(make(BOUNDS), quick * 10**6, 9)
    late = steadily(make(BOUNDS), (quick + slower) * 10**6, 9)
    assert late[-1] <= faster[-1]


@each
def test_nothing_observed_changes_nothing(make: Make):
    """No samples. A request a second is too few to learn from."""
    controller = make(BOUNDS)
    before = controller.bounds().at(0)
    for second in range(120):
        controller.step(second * SECOND, Load(0, 0, 0, 0, 0, ()))
    assert controller.bounds().at(0) == before


def test_refusals_of_the_back_end_are_one_cut_an_epoch():
    """Hazard: the back end's own refusals."""
    once, often = FirstByte(BOUNDS), FirstByte(BOUNDS)
    once.failed(1, 2)
    for _ in range(100):
        often.failed(1, 2)
    assert often.bounds().at(0) == once.bounds().at(0)
    assert once.bounds().at(0).unanswered < BOUNDS.start


def test_constant_timeouts_count_by_their_age():
    """No answer ever comes, and hardly a request is let through any more, at whatever rate they come."""
    admission = Admission(FirstByte(BOUNDS), flight(floor=BOUNDS.floor))
    admitted = []
    for tick in range(400):
        now_ns = tick * SECOND // 20
        if admission.has_room(now_ns):
            admitted.append(now_ns)
            admission.admit(now_ns)
        else:
            admission.turn_away(now_ns)
    assert len([now_ns for now_ns in admitted if now_ns > SECOND]) <= 8


def test_requests_that_wait_while_answers_are_under_way_shorten_the_queue():
    controller = FirstByte(BOUNDS)
    waiting = [(number, number + 1) for number in range(20)]
    for tenth in range(1, 40):
        controller.step(tenth * SECOND // 10, Load(60, 20, 60, 20, 9, waiting))
    assert controller.places == 40
    assert controller.bounds().at(40).unanswered <= BOUNDS.start // 2


def test_outage_says_nothing_of_what_a_place_costs():
    """Hazard: the queue is thought to be dear after an outage, and has to be learned anew."""
    controller = FirstByte(BOUNDS)
    steadily(controller, SECOND // 20, 5, queue=4)
    before = controller.bounds().at(0).unanswered
    back_ns = 15 * SECOND
    for number in range(8):
        controller.observe(AnsweredRequest(5 * SECOND + number, back_ns + number, number + 1, number + 1))
        controller.step(back_ns + number, Load(8, 8, 8, 8, 0, ()))
    assert controller.bounds().at(0).unanswered >= before - 1


def test_workers_that_read_the_clock_a_little_earlier_are_no_jump():
    """Hazard: one worker steps between another's look at the clock and its word; all would be forgotten."""

    def late(behind_ns: int) -> float:
        controller = FirstByte(BOUNDS)
        for number in range(1, 40):
            now_ns = number * SECOND // 10
            controller.step(now_ns, Load(30, 20, 30, 20, 9, ()))
            controller.observe(AnsweredRequest(now_ns - 2 * SECOND, now_ns - behind_ns, 30, 20))
        return controller.bounds().at(30).unanswered

    assert late(1_000) == pytest.approx(late(0), abs=1)
    assert late(0) < BOUNDS.start


@pytest.mark.parametrize(
    ("calm", "turned_away", "least", "most"),
    [
        pytest.param(0, 0, 13, 16, id="0.75 of the target is fifteen places"),
        pytest.param(100, 3, 7, 8, id="half of that while requests find no room"),
        pytest.param(0, 3, 7, 8, id="and where it never saw a short queue"),
    ],
)
def test_no_oscillation_beyond_a_tenth_in_steady_state(calm: int, turned_away: int, least: int, most: int):
    """With a queue that costs its length, the limit stands within 10 % of where it settles.

    First it is calm for some ticks: then two wait, and none is turned away.
    """
    controller = FirstByte(BOUNDS)
    place_ns = SECOND // 20  # twenty answers a second, one after the other
    seen = []
    for tick in range(600 + calm):
        now_ns = tick * SECOND // 10
        is_calm = tick < calm
        queue = 2 if is_calm else controller.bounds().at(0).unanswered
        for _ in range(2):
            controller.observe(AnsweredRequest(now_ns - queue * place_ns, now_ns, queue, queue))
        controller.step(now_ns, Load(queue, queue, queue, queue, 0 if is_calm else turned_away, ()))
        seen.append(queue)
    settled = seen[calm + 300 :]
    assert max(settled) <= 1.1 * min(settled)
    assert least <= settled[-1] <= most


def test_fault_86_nothing_is_bounded_before_a_target_is_learned():
    """Hazard: a guess is enforced. It is below what the back end takes alone, so all is late, for good."""
    learning = FirstByte(Settings(first_byte_ns=None))
    for tick in range(9):
        learning.observe(AnsweredRequest(tick * SECOND, (tick + 3) * SECOND, 2, 2))
        learning.step((tick + 3) * SECOND, Load(2, 2, 400, 400, 1, ()))
        assert (learning.target_ns, learning.bounds().at(0).unanswered) == (0, 400)
    learning.observe(AnsweredRequest(9 * SECOND, 12 * SECOND, 2, 2))
    assert learning.target_ns > 3 * SECOND
    assert learning.bounds().at(0).unanswered < 400


def test_target_is_learned_from_short_queues_alone():
    learning = FirstByte(Settings(first_byte_ns=None))
    steadily(learning, SECOND // 5, 130, queue=2)
    assert learning.target_ns == pytest.approx(3 * SECOND // 5, rel=0.1)
    before_ns = learning.target_ns
    for tick in range(1300, 2600):
        now_ns = tick * SECOND // 10
        learning.observe(AnsweredRequest(now_ns - 5 * SECOND, now_ns, 200, 200))
    assert learning.target_ns == pytest.approx(before_ns, rel=0.05)


def test_target_learned_in_a_good_hour_mends_itself_though_all_is_late():
    """Hazard: nothing is learned while first bytes are late, and they are since too little was learned."""
    learned = LearnedTarget()
    for tick in range(200):
        learned.observe(tick * SECOND // 10, SECOND // 10, 1, 4, is_crowded=False)
    early_ns = learned.target_ns
    took = []
    for tick in range(200, 20_000):
        learned.observe(tick * SECOND // 10, 2 * SECOND, 4, 4, is_crowded=True)
        took.append(learned.target_ns)
    assert early_ns == pytest.approx(0.3 * SECOND, rel=0.1)
    assert took[600] < 2 * early_ns  # a minute
    assert took[-1] == pytest.approx(6 * SECOND, rel=0.1)


def test_fault_88_limit_grows_no_faster_than_its_evidence():
    """Hazard: it grows by a half each step while a first byte is a target old; a convoy is past help then."""
    controller = FirstByte(BOUNDS)
    seen = steadily(controller, SECOND // 100, 5)
    for before, after in zip(seen, seen[10:], strict=False):  # the time of one target
        assert after <= 2.0 * before + 1
    assert seen[-1] >= 2 * seen[0]


@each
@settings(max_examples=80, deadline=None)
@given(words=st.lists(st.floats(), min_size=128, max_size=128), told=events)
def test_words_of_damaged_memory_keep_the_bounds(make: Make, words: list[float], told: list):
    controller = make(BOUNDS)
    controller.take_over(words, [event for event in told if isinstance(event, AnsweredRequest)])
    allowance = controller.bounds().at(5)
    assert BOUNDS.floor <= allowance.in_flight <= BOUNDS.ceiling
    assert 1 <= allowance.unanswered <= BOUNDS.ceiling
    controller.step(0, Load(1, 1, 1, 1, 0, ()))


@each
def test_a_controller_that_takes_over_goes_on(make: Make):
    first, second = make(BOUNDS), make(BOUNDS)
    steadily(first, SECOND // 3, 20)
    second.take_over([*first.words(), *[0.0] * (128 - len(first.words()))], [])
    assert second.bounds() == first.bounds()
    assert second.words() == first.words()


def test_target_that_is_learned_leaves_the_slowest_twentieth_its_time():
    """Hazard: first bytes vary, and three times the usual one is missed with nothing before them."""
    learned = LearnedTarget()
    for tick in range(20_000):
        took_ns = SECOND if tick % 10 == 0 else SECOND // 5
        learned.observe(tick * SECOND // 10, took_ns, 1, 4, is_crowded=False)
    assert learned.target_ns == pytest.approx(2.0 * SECOND, rel=0.25)


def test_what_was_learned_is_taken_over():
    first = FirstByte(Settings(first_byte_ns=None))
    steadily(first, SECOND // 5, 130, queue=2)
    second = FirstByte(Settings(first_byte_ns=None))
    second.take_over([*first.words(), *[0.0] * (128 - len(first.words()))], [])
    assert second.target_ns == first.target_ns != SECOND


@pytest.mark.parametrize("bad", [{"floor": 0}, {"start": 3}, {"ceiling": 10}, {"first_byte_ns": 0}])
def test_settings_out_of_order_are_refused(bad: dict[str, int]):
    with pytest.raises(ValueError, match=r"floor|time"):
        Settings(**bad)
