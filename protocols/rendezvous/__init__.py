"""The rendezvous of a taper with the application that sends it a dump, both halves, sans-IO.

Its description, for whoever writes the other half: ``docs/rendezvous.md``.
"""
