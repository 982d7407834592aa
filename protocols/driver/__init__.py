"""The conversation of driver and taper: messages and codec."""
