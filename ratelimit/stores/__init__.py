"""Where the limits' state lives: `base` has the contract, `embedded` keeps it in this host's memory."""
