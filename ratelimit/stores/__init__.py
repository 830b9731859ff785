"""Where the limits' state lives: `contract` has its laws, `embedded` keeps it in this host's memory."""
