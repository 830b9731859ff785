"""Traces as files: the NDJSON that `ratelimit replay` reads."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from benchmarks.correlation.numbers import SECOND_NS, Ints
from benchmarks.correlation.trace import Trace

PATH = "/v1/messages"
_AT_ONCE = 100_000
_LINE = (
    '{"time":%d.%06d,"method":"POST","path":"'
    + PATH
    + '","ip":"%s",%s%s,%s,"input_tokens":%d,"output_tokens":%d}\n'
)


def account_name(number: int) -> str:
    """Return how an account is called in files."""
    return f"acct-{number:07d}"


def lines(trace: Trace) -> Iterator[bytes]:
    """Yield the trace as NDJSON, many lines at a time."""
    addresses = np.array(trace.addresses.texts(), dtype=object)
    clients = np.array([f'"client":"{text}"' for text in trace.clients], dtype=object)
    payment = np.zeros(trace.accounts, dtype=np.int64)
    payment[trace.account] = trace.payment
    sponsors = [0] * trace.accounts if trace.sponsor is None else trace.sponsor.tolist()
    created = [""] * trace.accounts
    if trace.created_ns is not None:
        created = [f',"account_created":{seconds}' for seconds in (trace.created_ns // SECOND_NS).tolist()]
    accounts = np.array(
        [
            f'"account":"{account_name(number)}"'
            + (f',"payment":"card-{card:06d}"' if card else "")
            + (f',"sponsor":"sponsor-{sponsor:06d}"' if sponsor else "")
            + when
            for number, (card, sponsor, when) in enumerate(
                zip(payment.tolist(), sponsors, created, strict=True)
            )
        ],
        dtype=object,
    )
    paid, which = _paid(trace)
    for begin in range(0, len(trace), _AT_ONCE):
        part = slice(begin, begin + _AT_ONCE)
        time_us = trace.time_ns[part] // 1000
        rows = zip(
            (time_us // 1_000_000).tolist(),
            (time_us % 1_000_000).tolist(),
            addresses[trace.ip[part]],
            accounts[trace.account[part]],
            paid[which[part]],
            clients[trace.client[part]],
            trace.input_tokens[part].tolist(),
            trace.output_tokens[part].tolist(),
            strict=True,
        )
        yield "".join(map(_LINE.__mod__, rows)).encode()


def _paid(trace: Trace) -> tuple[NDArray[np.object_], Ints]:
    """Return what lines say of payments, by the cent, and which of it each says; nothing where unknown."""
    different, which = np.unique(trace.paid_cents, return_inverse=True)
    said = ["" if one < 0 else f',"paid_usd":{one // 100}.{one % 100:02d}' for one in different.tolist()]
    return np.array(said, dtype=object), which


def write(trace: Trace, target: Path | IO[bytes]) -> None:
    """Write NDJSON to a file (gzip when it is called so) or into a pipe."""
    if not isinstance(target, Path):
        target.writelines(lines(trace))
    elif target.suffix == ".gz":
        with gzip.open(target, "wb", compresslevel=1) as packed:
            packed.writelines(lines(trace))
    else:
        with target.open("wb") as file:
            file.writelines(lines(trace))
