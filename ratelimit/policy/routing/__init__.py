"""Which limits a request's path falls under."""
