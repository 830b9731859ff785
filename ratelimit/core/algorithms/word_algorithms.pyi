"""What a decision does after a race that it lost; for compiled modules alone."""
