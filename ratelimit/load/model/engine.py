"""The metrics of language-model servers about themselves, as numbers.

The names are those of vLLM (before and after its rename of the gauge of its cache), SGLang, Hugging
Face's TGI, and llama.cpp. A page may have a gauge several times, for models and for ranks: requests
are added up, and of memory the fullest counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

RUNNING = frozenset(
    {"vllm:num_requests_running", "sglang:num_running_reqs", "tgi_batch_current_size"}
    | {"llamacpp:requests_processing"}
)
WAITING = frozenset(
    {"vllm:num_requests_waiting", "sglang:num_queue_reqs", "tgi_queue_size", "llamacpp:requests_deferred"}
)
MEMORY = frozenset(
    {"vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc", "sglang:token_usage"}
    | {"llamacpp:kv_cache_usage_ratio"}
)
MOST_REQUESTS = 1 << 20
"""More than these in one gauge is no number of requests."""


@dataclass(frozen=True, slots=True)
class EngineReport:
    """The report of one page.

    Args:
        running: requests that are worked on.
        waiting: requests in the engine's own queue.
        memory_used: share of the memory for keys and values in use; 0 where the page has no such gauge.
    """

    running: int
    waiting: int
    memory_used: float


def read_metrics(page: str) -> EngineReport | None:
    """Return what a page in the text format of Prometheus says; None where its numbers are not there.

    Both numbers of requests have to be there. Lines that are malformed are passed over.
    """
    running, waiting, memory = 0.0, 0.0, 0.0
    seen: set[str] = set()
    for line in page.splitlines():
        name = line.split("{", 1)[0].split(" ", 1)[0]
        if name not in RUNNING and name not in WAITING and name not in MEMORY:
            continue
        value = _value(line)
        if value is None:
            continue
        if name in MEMORY:
            memory = max(memory, min(value, 1.0))
        elif value > MOST_REQUESTS:
            return None
        elif name in RUNNING:
            running += value
            seen.add("running")
        else:
            waiting += value
            seen.add("waiting")
    return EngineReport(int(running), int(waiting), memory) if len(seen) == 2 else None


def _value(line: str) -> float | None:
    """Return the number of a line `name{labels} number [time]`; None where it is none, or negative."""
    words = line.rpartition("}")[2].split() if "}" in line else line.split()[1:]
    try:
        value = float(words[0])
    except (IndexError, ValueError):
        return None
    return value if isfinite(value) and value >= 0 else None
