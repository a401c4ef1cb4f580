"""Small CNI plugins that need no root and no network, for demonstrations and tests.

Each runs in a process of its own, as every plugin does, and uses nothing but the standard library: the package around
it is not imported. :func:`libcni.demo.install.install_plugins` puts them into a plugin directory.
"""
