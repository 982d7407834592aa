"""How our programs are called, as data: of it completions for shells and manual pages are made.

``program`` has the values, ``programs`` makes them of what the parsers of command lines are made
of, ``completing`` finds what may stand at the end of a line, ``knowing`` reads the names that a
configuration has, ``shells`` has the scripts that ask, and ``manual`` writes pages.
"""
