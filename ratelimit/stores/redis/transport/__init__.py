"""How a question reaches a server and its answer comes back: connections, batches, replies, errors."""
