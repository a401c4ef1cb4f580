"""The checks of plugins: for each group a table (``.toml``) of what is checked and why, and a module that does it."""
