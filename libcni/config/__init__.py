"""A network: its configuration, how it is parsed and loaded, and the requests that plugins get."""
