"""A server that is asked for three times what it can do: without an adaptive limit and with one.

Three processes on loopback: a stand-in for a server of language models, a gateway with two workers
before it, and the callers. It stays on this machine and leaves no files behind.
"""
