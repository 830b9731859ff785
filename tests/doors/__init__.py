"""One list of spellings, and every door that reads request lines."""
