"""The same conversations on Twisted transports."""
