"""The library's environment: files, URLs, installed extras, text for terminals, findings about all of it."""
