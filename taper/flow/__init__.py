"""How a dump gets from where it is to volumes: origins, and the flows between them and devices.

An *origin* gives header and data (:mod:`taper.flow.origins`); a *flow* brings the data to a device
of some kind (:mod:`taper.flow.flows`, the table of which serves which).
"""
