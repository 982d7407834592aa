"""``amdirecttar``: a disk dumped by GNU tar straight into a data connection, and restored from one.

A short-lived process that Amanda's client starts; it blocks where it waits, and imports neither
Twisted nor the rest of the taper.
"""
