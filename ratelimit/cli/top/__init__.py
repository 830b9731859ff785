"""`ratelimit top`: a running deployment watched from a terminal."""
