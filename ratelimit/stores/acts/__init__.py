"""The operator's acts while workers run: the acts, their storage, and the hosts that apply them."""
