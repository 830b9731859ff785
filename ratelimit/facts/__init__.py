"""The facts of requests: one record for each, from which all parts are indexed."""
