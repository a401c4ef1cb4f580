"""The checks of runtimes: a table of requirements, and the modules that check them."""
