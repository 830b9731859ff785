"""Memory that correlation shares between workers and hosts: the ring, the board, assignments."""
