"""Events that the operator should see, once for each host: noticed, passed on, kept from repeating."""
