"""Budgets of customers: a customer's own number in place of a limit's, by the application or an operator."""
