"""The schemas of plugin configurations, our own configurations, and the real plugins, held against each other."""
