"""A result: its form in memory, its wire formats, and its check."""
