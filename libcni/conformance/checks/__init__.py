"""The checks of plugins: for each group a table (``.toml``) of requirements, and a module that checks them."""
