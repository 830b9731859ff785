"""Tests of customers' budgets."""
