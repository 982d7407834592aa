"""The taper: it decides. Driver commands, volumes, parts, the data pump, the service."""

__version__ = "0.1.0"
