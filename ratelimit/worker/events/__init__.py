"""What deserves a word to the operator, once for each host: noticed, passed on, kept from repeating."""
