"""What surrounds the library: files, URLs, installed extras, text for terminals, findings about all of it."""
