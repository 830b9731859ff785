"""Why a decision is as it is, which actor an account belongs to, what is wrong with an installation."""
