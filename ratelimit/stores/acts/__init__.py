"""What the operator did while workers run: the acts, where they are kept, and which hosts apply them."""
