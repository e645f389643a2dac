"""From tables to lists."""
