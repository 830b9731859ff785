"""The service around correlation: the leader, its snapshot, budgets of clusters, declarations, hosts."""
