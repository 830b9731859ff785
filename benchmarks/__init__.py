"""Costs of the library, beside its peers. Run `python -m benchmarks`.

One file a question, each with a `NAME` and an `answer(settings)`; the questions are in
their docstrings. They share scenarios (keys and traffic with fixed seeds), peers
(adapters), rounds (how time is taken), machine (where) and report (the tables).
"""
