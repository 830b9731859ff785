"""Where the correlators of several hosts meet: a lease, two streams, and values in chunks."""
