"""Makes ``twistd taper`` known."""

from twisted.application.service import ServiceMaker

taper = ServiceMaker(
    "taper",
    "taper.run.plugin",
    "The volume writer of the Amanda backup system.",
    "taper",
)
