"""The benchmark of correlation: simulated traffic, contenders, metrics. Is one actor found, and no other?

    world       what exists: accounts, payment methods, client builds, and the internet they use
    people      honest accounts and their days
    campaigns   one actor behind many accounts
    negatives   honest groups that look like one actor
    poison      campaigns that want another account to be refused
    scenarios   which of them are in one trace, and how large
    contenders  what decides a trace: baselines, the truth, and kinlimit
    metrics     what came of it, beside the aims
    families    hundreds of worlds of random structure, in a package of their own
    adversary   a search for the cheapest budget beyond the first, likewise

Everything follows from a seed. What no report says (accounts a card, addresses an
account, how long an account lives, ...) is a parameter with a stated default, and swept.
"""
