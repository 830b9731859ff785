"""The demo's policy over the demo's people, in virtual time: minutes of it in a second."""

from __future__ import annotations

import heapq
import random
from collections import Counter

import pytest

from ratelimit.clock import ManualClock
from ratelimit.correlation import Correlator
from ratelimit.correlation.classification import Verdict
from ratelimit.correlation.description import verdict_word
from ratelimit.correlation.overview import overviews_of
from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.demo.api import known_accounts
from ratelimit.demo.people import CLUSTER_LIMIT, POPULATIONS, address_of, everyone, person_of
from ratelimit.demo.run import policy_path
from ratelimit.identity.fact import Context
from ratelimit.policy import Policy
from ratelimit.stores.factory import private_store

NS = 1_000_000_000
START_S = 1_800_003_540
"""A minute before the clock strikes: visits are counted by its hours."""


class Play:
    """The whole population's calls, one after the other, as the population's process would make them."""

    def __init__(self, seed: int) -> None:
        policy = Policy.load(policy_path())
        spec = policy.compiled.correlation
        assert spec is not None
        self.store = private_store(policy, ManualClock(START_S * NS), seed=7)
        self.bound = BoundPolicy(policy.compiled, self.store, START_S * NS, diagnose=lambda code: None)
        self.correlator = Correlator(
            spec.settings,
            START_S * NS,
            spec.columns(),
        )
        self._principal = spec.principal[0]
        self._known = known_accounts(START_S)
        self._dice = random.Random(seed)
        self._of: dict[int, str] = {}
        self._due: list[tuple[float, int, int, int]] = []
        for population, number, person in everyone():
            due_s = START_S + self._dice.uniform(0, person.pause_s)
            heapq.heappush(self._due, (due_s, POPULATIONS.index(population), number, 0))

    def until(self, seconds: float) -> None:
        while self._due[0][0] < START_S + seconds:
            at_s, index, number, call = heapq.heappop(self._due)
            population = POPULATIONS[index]
            person = person_of(population, number)
            account = person.account.encode()
            headers = [(b"x-api-key", account), (b"user-agent", person.program.encode())]
            context = Context(state=self._known[account])
            row = self.bound.extractor.extract(headers, address_of(population, number, call), context)
            self._of[row[self._principal]] = population.name
            now_ns = int(at_s * NS)
            self.correlator.observe(row, now_ns)
            if self.correlator.is_due(now_ns):
                for _ in self.correlator.rebuild(now_ns):
                    pass
            after_s = max(person.pause_s, 0.5) * self._dice.uniform(0.75, 1.25)
            heapq.heappush(self._due, (at_s + after_s, index, number, call + 1))

    def verdicts(self) -> dict[str, Counter[str]]:
        """Return by verdict how many of each population are members with it."""
        found: dict[str, Counter[str]] = {"certain": Counter(), "likely": Counter()}
        for each in overviews_of(self.correlator):
            for key, verdict in each.members:
                word = verdict_word(verdict)
                if word is not None:
                    found[word][self._of[key]] += 1
        return found


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_campaign_is_certain_within_thirty_seconds_and_the_school_beside_it_likely(seed: int) -> None:
    (campaign,) = [population for population in POPULATIONS if population.limit == CLUSTER_LIMIT]
    play = Play(seed)
    play.until(20)
    assert play.verdicts()["certain"][campaign.name] >= 0.8 * campaign.people
    play.until(30)
    found = play.verdicts()
    assert found["certain"][campaign.name] >= 0.95 * campaign.people
    assert found["likely"]["school"] >= 50  # a few of its 60 have a home
    (school,) = [each for each in overviews_of(play.correlator) if each.verdict is Verdict.LIKELY]
    assert "Not certain: traffic of about 4 exits where 72 are needed" in school.words


def test_no_honest_account_is_ever_certain_however_long_the_demo_runs() -> None:
    play = Play(4)
    honest = {population.name for population in POPULATIONS if population.honest}
    for minute in range(1, 31):
        play.until(60 * minute)
        found = play.verdicts()
        assert set(found["certain"]) == {"campaign"}, minute
        assert set(found["likely"]) & honest <= {"school"}, minute
