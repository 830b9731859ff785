"""The adaptive limits in a closed loop of virtual time, beside other algorithms and the best fixed limit."""
