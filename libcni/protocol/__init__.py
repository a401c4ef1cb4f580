"""The specification as data: versions, names, arguments, addresses, capabilities, and the documents."""
