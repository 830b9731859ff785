"""State in this host's memory, shared by all workers: the table, the board, the files they lie in."""
