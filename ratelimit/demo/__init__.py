"""`ratelimit demo`: a small model of a business, its customers and its abusers, on loopback.

    policy.toml  the limits, as a user would write them; tuning.toml has numbers for a demo of seconds
    api.py       the mock of an LLM API behind the middleware, and what it knows of its accounts
    people.py    the callers: how each population behaves
    crowd.py     the process that plays all of them and reports
    outcome.py   what came of it so far, and whether that is as it should be
    run.py       starts, watches, shows and cleans up
    server.py    the processes that serve; engine.py the server behind a gateway
    saturated.py another demo: a server with three times the load that it can serve

uvicorn comes with the extra `demo`.
"""
