"""What a response says of limits: fields and problem documents, for any framework."""
