"""One request explained: its facts, limits and verdicts, and what a policy would do with it."""
