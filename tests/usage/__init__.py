"""Usage of answers: read, estimated and priced."""
