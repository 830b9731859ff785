"""Families: honest groups and campaigns drawn from random structure, so that nothing can be tuned to them.

How to use it:

    from benchmarks.correlation.families.catalogue import NAMED, random
    from benchmarks.correlation.families.world import SMALL, LARGE
    from benchmarks.correlation.families.batch import Batch, columns

    world = NAMED["school district, few addresses, new"].world(seed=1, size=SMALL)
    world.trace                     # columns by time; trace.truth, trace.created_ns by account
    w = columns(world.trace)        # dict of arrays for `judge(w, T)`
    outcome = Batch("mine", judge).run(world.trace)
    for entry in random(200, seed=7):
        world = entry.world(seed=1)

    python -m benchmarks.correlation.families --list
    python -m benchmarks.correlation.families --kind changed --contender path.py:judge
    python -m benchmarks.correlation.families --leave-out 10 --train path.py:fit
    python -m benchmarks.correlation.families --steady --world base

With `--short` it takes a minute: some worlds of each kind.

    law         all that is free, for honest and hostile alike
    exits       addresses: one law says which account is on which exit when
    group       what a group is; members: its accounts; population: ordinary accounts
    honest      honest groups by name; hostile: campaigns and poison; changes: what costs little
    structure   groups of random structure; sweep: a grid of what is bought; catalogue: every world
    world       groups put together; batch: the same for batch models
    contest     contenders over worlds; measure: what came of it; price: what was paid
    goals       the aims; tables: all of it for a terminal; folds: one family left out; steadiness
"""
