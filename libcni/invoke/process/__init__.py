"""One plugin process from its start to its end."""
