"""A limiter at work: its parts put together, the policy file read again."""
