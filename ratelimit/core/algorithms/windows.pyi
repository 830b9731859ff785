"""What few windows need; for compiled modules alone."""
