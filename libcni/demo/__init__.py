"""A complete run of the library on plugins that come with it: no root, no network, nothing to install."""
