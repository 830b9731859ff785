"""Acts that a person proposes: whom they name, what they would change, and budgets of customers."""
