"""The checks of runtimes: a table of what is checked and why, and what it is checked with."""
