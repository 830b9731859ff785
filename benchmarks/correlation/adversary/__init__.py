"""The adversary: a program that looks for the cheapest further budget against a policy.

    attack   the grammar: parts that buy accounts, payment methods and exits; drawn, mutated, crossed
    bill     what an attack pays for a month
    world    an attack among a few honest customers, as a trace
    search   evolution: what is cheap is varied; every evaluation is kept

    python -m benchmarks.correlation.adversary --evaluations 2000 --seed 1

Everything follows from the seed. A price is an upper bound: a longer search may find less.
"""
