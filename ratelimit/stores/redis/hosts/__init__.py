"""The meeting place of several hosts' correlators: a lease, two streams, and values in chunks."""
