"""The transport of questions to a server and of its answers: connections, batches, replies, errors."""
