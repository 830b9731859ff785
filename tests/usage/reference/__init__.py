"""Metering in plain Python: the specification that the compiled one is held equal to."""
