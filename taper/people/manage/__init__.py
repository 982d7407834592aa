"""The commands for people that change something: labels, volumes, and where these are."""
