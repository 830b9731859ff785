"""Allowances: limits that a payer raises by what it pays, and limits for what no allowance covers."""
