"""The commands for people who look after volumes: ``taperctl volumes`` and its like."""
