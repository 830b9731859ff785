"""The controller of what may be in flight: pure, time is an argument."""
