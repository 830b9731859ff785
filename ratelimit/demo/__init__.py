"""`ratelimit demo`: a small model of a business, its customers and its abusers.

    policy.toml     the limits, as a user would write them
    tuning.toml     numbers for a demo that is over in seconds
    api.py          the mock of an LLM API behind the middleware
    accounts.py  what that application knows of its accounts: payment and age
    server.py       the process tree that serves it: uvicorn, two workers
    people.py       the callers: behaviour of each population
    client.py       one keep-alive HTTP connection
    population.py   the process that plays all of them and reports
    board.py        what is shown while it runs
    verdict.py      what is said at the end
    run.py          starts, watches, shows and cleans up

Everything runs on loopback; uvicorn comes with the extra `demo`.
"""
