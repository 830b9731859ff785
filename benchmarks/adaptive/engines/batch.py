"""A server of a language model: continuous batching.

A step makes one token for each request of the batch and takes `step_ms + each_ms * batch`.
A request first needs a slot and memory for its prompt; then its prompt is read (prefill), and
its first token is its first byte. Without `chunk_tokens` prompts are read one after the other
beside the steps, at `prefill_rate`. With it a part of a prompt is read in each step, which
takes so much longer (chunked prefill, arXiv 2403.02310). Memory grows by a token a request and
step. When it is used up, the youngest request loses its memory, and is read again later
(preemption by recomputation, as vLLM does).
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass

from benchmarks.adaptive.job import Job
from benchmarks.adaptive.timeline import SECOND, Timeline

NO_BOUND = 10**9


@dataclass(frozen=True, slots=True)
class Model:
    """The numbers of one server; times in milliseconds, rates in tokens a second."""

    slots: int
    step_ms: float
    each_ms: float
    prefill_rate: float
    chunk_tokens: int = 0
    memory_tokens: int = NO_BOUND


@dataclass(slots=True)
class Prompt:
    """A request's prompt that is being read."""

    job: Job
    tokens_left: int


class Batch:
    """One replica."""

    def __init__(self, model: Model, timeline: Timeline) -> None:
        self._model = model
        self._timeline = timeline
        self._slots = model.slots
        self._speed = 1.0
        self._halted = False
        self._waiting: deque[Job] = deque()
        self._reading: deque[Prompt] = deque()
        self._decoding: dict[Job, int] = {}  # the step after which each is complete
        self._ends: list[tuple[int, int, Job]] = []
        self._order = 0
        self._steps = 0
        self._held = 0  # tokens in memory
        self._segment = (0, 1, 0)  # start, length of a step, steps
        self._running = False
        self._plan = 0
        self._read_plan = 0
        self._is_read = False

    # -- what the engine's callers see

    def submit(self, job: Job) -> None:
        self._waiting.append(job)
        self._look()

    def set_capacity(self, share: float) -> None:
        if share == 0.0:
            self._settle_steps()
            self._halted = True
            self._plan += 1
            self._read_plan += 1
            self._running = self._is_read = False
            return
        self._halted = False
        self._slots = max(1, round(self._model.slots * share))
        self._look()

    def set_speed(self, speed: float) -> None:
        self._speed = speed

    def has_room(self) -> bool:
        return (
            not self._halted
            and not self._waiting
            and self.in_service() < self._slots
            and self._held < self._model.memory_tokens
        )

    def in_service(self) -> int:
        return len(self._decoding) + len(self._reading)

    def waiting(self) -> int:
        return len(self._waiting)

    def memory_used(self) -> float:
        return self._held / self._model.memory_tokens

    def take_waiting(self) -> list[Job]:
        """Give up what has not been begun, as a router does when it drains a replica."""
        taken = list(self._waiting)
        self._waiting.clear()
        return taken

    # -- places

    def _look(self) -> None:
        """Give places to those that wait, and see that work goes on."""
        if self._halted:
            return
        while self._waiting and self.in_service() < self._slots:
            job = self._waiting[0]
            if job.gone:
                self._waiting.popleft()
                continue
            if self._held and self._held + job.prompt_tokens > self._model.memory_tokens:
                break
            self._waiting.popleft()
            self._held += job.prompt_tokens
            self._reading.append(Prompt(job, job.prompt_tokens))
        if self._reading:
            if self._model.chunk_tokens:
                self._cut_segment()
            elif not self._is_read:
                self._read_next()
        if not self._running and (self._decoding or (self._model.chunk_tokens and self._reading)):
            self._begin()

    # -- prompts, one after the other beside the steps

    def _read_next(self) -> None:
        if not self._reading:
            self._is_read = False
            return
        self._is_read = True
        self._read_plan += 1
        plan = self._read_plan
        tokens = self._reading[0].tokens_left
        took = int(tokens / (self._model.prefill_rate * self._speed) * SECOND)
        self._timeline.at(self._timeline.now_ns + took, lambda: self._was_read(plan))

    def _was_read(self, plan: int) -> None:
        if plan != self._read_plan:
            return
        job = self._reading.popleft().job
        self._join(job)
        self._cut_segment()
        self._read_next()
        self._look()

    def _join(self, job: Job) -> None:
        """The prompt was read: the first token is there."""
        if job.first_byte_ns < 0:
            job.first_byte_ns = self._timeline.now_ns
            job.told_first(job)
        self._settle_steps()
        end = self._steps + max(1, job.answer_tokens)
        self._decoding[job] = end
        self._order += 1
        heapq.heappush(self._ends, (end, self._order, job))
        if not self._running:
            self._begin()

    # -- steps: as many at once as change nothing

    def _begin(self) -> None:
        model = self._model
        batch = len(self._decoding)
        chunk = 0
        if model.chunk_tokens and self._reading:
            chunk = self._chunk(model.chunk_tokens)
        if not batch and not chunk:
            self._running = False
            return
        step_ms = model.step_ms + model.each_ms * batch + 1000.0 * chunk / model.prefill_rate
        step = max(1, int(step_ms * 1e6 / self._speed))
        steps = 1
        if not chunk:
            steps = max(1, self._ends[0][0] - self._steps)
            room = model.memory_tokens - self._held
            steps = max(1, min(steps, room // batch + 1, int(2e9 / step)))
        self._segment = (self._timeline.now_ns, step, steps)
        self._running = True
        self._plan += 1
        plan = self._plan
        self._timeline.at(self._timeline.now_ns + step * steps, lambda: self._boundary(plan))

    def _chunk(self, budget: int) -> int:
        """Read prompts in the order they came, up to a budget; those left with 0 join at the boundary."""
        taken = 0
        for prompt in self._reading:
            part = min(prompt.tokens_left, budget - taken)
            prompt.tokens_left -= part
            taken += part
            if taken == budget:
                break
        return max(1, taken)

    def _cut_segment(self) -> None:
        """End a run of steps after the one that is being made."""
        if not self._running or self._segment[2] == 1:
            return
        start, step, steps = self._segment
        done = min(steps, (self._timeline.now_ns - start) // step + 1)
        if done == steps:
            return
        self._segment = (start, step, done)
        self._plan += 1
        plan = self._plan
        self._timeline.at(start + step * done, lambda: self._boundary(plan))

    def _settle_steps(self) -> None:
        """Count the steps that are over in a run that goes on."""
        if not self._running:
            return
        start, step, steps = self._segment
        done = min(steps, (self._timeline.now_ns - start) // step)
        if done:
            self._count(done)
            self._segment = (start + done * step, step, steps - done)

    def _count(self, steps: int) -> None:
        self._steps += steps
        self._held += steps * len(self._decoding)

    def _boundary(self, plan: int) -> None:
        if plan != self._plan:
            return
        self._count(self._segment[2])
        self._running = False
        if self._model.chunk_tokens:
            while self._reading and self._reading[0].tokens_left == 0:
                self._join_quietly(self._reading.popleft().job)
        while self._ends and self._ends[0][0] <= self._steps:
            _, _, job = heapq.heappop(self._ends)
            if self._decoding.get(job) is None or self._decoding[job] > self._steps:
                continue
            del self._decoding[job]
            self._held -= job.prompt_tokens + job.answer_tokens
            job.done_ns = self._timeline.now_ns
            job.told_done(job)
        self._held = max(0, self._held) if self._decoding or self._reading else 0
        while self._held > self._model.memory_tokens and len(self._decoding) > 1:
            self._preempt()
        self._look()
        if not self._running:
            self._begin()

    def _join_quietly(self, job: Job) -> None:
        if job.first_byte_ns < 0:
            job.first_byte_ns = self._timeline.now_ns
            job.told_first(job)
        end = self._steps + max(1, job.answer_tokens)
        self._decoding[job] = end
        self._order += 1
        heapq.heappush(self._ends, (end, self._order, job))

    def _preempt(self) -> None:
        """Take the memory of the youngest; it is read again, with what it had said."""
        job = next(reversed(self._decoding))
        left = self._decoding.pop(job) - self._steps
        said = job.answer_tokens - left
        self._held -= job.prompt_tokens + said
        job.prompt_tokens += said
        job.answer_tokens = max(1, left)
        self._waiting.appendleft(job)
