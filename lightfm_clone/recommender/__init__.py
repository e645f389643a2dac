"""From tables to lists, with the caller's own ids all the way."""
