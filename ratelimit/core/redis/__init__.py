"""Decisions that a server makes: questions, answers, leases."""
