"""The Debian package, built and tried in rooms that have nothing but Debian: ``make deb``."""
