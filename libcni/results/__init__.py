"""A result: its form in memory, and its way from and to each wire format."""
