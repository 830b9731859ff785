"""The middleware: the only place that knows an ASGI scope."""
