"""Worlds of 40 days after a month of warm-up: who pays how much, who grows, and what a budget costs then.

    book       accounts, payment methods, sponsors, payments and requests in the making
    honest     customers: steady, growing, shared, brand-new
    allowance  a small model of earned allowances: the oracle that a limiter is compared with
    attacks    what is bought to get more, by name
    harm       what each class is refused, day by day
    growth     what growth by unpaid history costs
    young      how many budgets a group of new accounts keeps

Volumes are divided by a scale, and so are limits. A day is the unit of all limits here, so a world
of 70 days with a thousandth of its requests says the same in seconds.
"""
