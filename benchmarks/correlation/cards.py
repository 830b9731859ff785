"""Payment methods that honest accounts share.

Of all payment methods 93 % pay for one account, 5 % for two or three: a family, or one
person's several keys. 1.8 % pay for 4 to 20, 0.2 % for 20 to 500. Within a range small
groups are more frequent (log-uniform), which the published shares leave open.
"""

from __future__ import annotations

import numpy as np

from benchmarks.correlation.numbers import Ints

SHARES = (0.93, 0.05, 0.018, 0.002)
RANGES = ((1, 1), (2, 3), (4, 20), (20, 500))


def group_sizes(accounts: int, rng: np.random.Generator) -> Ints:
    """Return numbers of accounts a payment method that add up to `accounts`.

    In a small population the largest groups are cut to a tenth of it.
    """
    count = max(accounts, 1)
    kind = rng.choice(len(SHARES), size=count, p=SHARES)
    low = np.array([low for low, _ in RANGES])[kind]
    high = np.array([high for _, high in RANGES])[kind]
    drawn = np.floor(np.exp(rng.uniform(np.log(low), np.log(high + 1)))).astype(np.int64)
    sizes = np.minimum(np.clip(drawn, low, high), max(1, accounts // 10))
    last = int(np.searchsorted(np.cumsum(sizes), accounts))
    sizes = sizes[: last + 1]
    sizes[-1] -= int(sizes.sum()) - accounts
    kept: Ints = sizes[sizes > 0]
    return kept
