"""The features by name, and where each has its part of a floor."""
