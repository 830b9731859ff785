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

    law         all that is free, for honest and hostile alike
    exits       addresses: one law of who is on which exit when
    group       what a group is; members: its accounts; population: ordinary accounts
    honest      honest groups by name; hostile: campaigns and poison; changes: what costs nothing
    structure   groups of random structure; catalogue: every world by name
    world       groups put together; batch: the same for batch models
"""
