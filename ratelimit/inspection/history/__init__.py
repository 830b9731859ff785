"""The history of a deployment: all its changes on one line of time, and a week by the hour."""
