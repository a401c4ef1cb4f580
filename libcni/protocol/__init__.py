"""What the specification says, as data: versions, names, arguments, addresses, capabilities, and the documents."""
