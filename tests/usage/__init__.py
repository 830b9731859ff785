"""Reading, estimating and pricing what answers use."""
