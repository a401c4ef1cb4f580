"""Conformance: whether a plugin, or a runtime, does what the specification says.

The catalogue of checks is data (:mod:`libcni.conformance.catalogue`), a session (:mod:`libcni.conformance.session`)
runs them, and :mod:`libcni.conformance.reports` writes down how it went. Nothing is imported here: a pytest plugin
lives in this package.
"""
