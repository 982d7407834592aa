"""The DLE in a dump's header: the disklist's entry as XML, which programs that restore go by.

Pure. The text is, to the letter, what driver and dumper 3.5.1 make of the same entry, but for two
things: properties stand in the order of the configuration (there in that of a hash table), and a
DIRECTTCP data path is without the addresses, which nobody can reach any more. All as seen in the
headers of real dumps. What DIRECTTCP does not allow, compression and encryption
[ndmp 1.8], is not made.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Sequence

from protocols.conf.sections import Application, Dumptype, Script
from protocols.conf.values import Properties, Selection

_UNSAFE = re.compile(rb"[^!#-%(-;=?-\[\]-\x7f]")
_EXECUTE_ON = (
    *("pre-amcheck", "pre-dle-amcheck", "pre-host-amcheck"),
    *("post-dle-amcheck", "post-host-amcheck", "post-amcheck"),
    *("pre-estimate", "pre-dle-estimate", "pre-host-estimate"),
    *("post-dle-estimate", "post-host-estimate", "post-estimate"),
    *("pre-backup", "pre-dle-backup", "pre-host-backup"),
    *("post-backup", "post-dle-backup", "post-host-backup"),
    *("pre-recover", "post-recover"),
    *("pre-level-recover", "post-level-recover", "inter-level-recover"),
)
"""The order in which stock names them."""


def make_dle(
    disk: str,
    device: str | None,
    level: int,
    dumptype: Dumptype,
    application: Application | None,
    scripts: Sequence[Script],
) -> str:
    """The text, without a line end at its end, as :attr:`protocols.header.Header.dle` has it.

    :param device: what the disklist names besides the disk, if it does
    :param application: of the dumptype; None: it has a program
    :param scripts: of the dumptype, in its order
    """
    lines = ["<dle>"]
    lines += _element("program", dumptype.program if application is None else "APPLICATION")
    lines += _element("disk", disk)
    if device is not None:
        lines += _element("diskdevice", device)
    lines += _element("level", str(level))
    lines += _element("auth", dumptype.auth)
    lines += _element("record", "YES" if dumptype.record else "NO")
    if dumptype.index:
        lines += _element("index", "YES")
    if dumptype.kencrypt:
        lines += _element("kencrypt", "YES")
    lines += _element("datapath", dumptype.data_path.upper())
    lines += _selection("exclude", dumptype.exclude)
    lines += _selection("include", dumptype.include)
    # by their order; of those with the same, the last comes first
    for script in sorted(reversed(scripts), key=lambda script: script.order):
        lines += _plugin("script", script)
    if application is not None:
        lines += _plugin("backup-program", application)
    return "\n".join([*lines, "</dle>"])


def _element(name: str, text: str, depth: int = 1) -> Iterator[str]:
    yield "  " * depth + _tagged(name, text)


def _tagged(name: str, text: str) -> str:
    """An element. A text that is not plain goes in base64, and as a hint to people with a ``_`` for
    every byte that is not."""
    data = text.encode("utf-8", "surrogateescape")
    plain, unsafe = _UNSAFE.subn(b"_", data)
    raw = f' encoding="raw" raw="{base64.b64encode(data).decode()}"' if unsafe else ""
    return f"<{name}{raw}>{plain.decode('ascii')}</{name}>"


def _selection(name: str, selection: Selection) -> Iterator[str]:
    entries = [(kind, text) for kind in ("file", "list") for text in selection.get(kind, ())]
    if not entries:
        return
    yield f"  <{name}>"
    for kind, text in entries:
        yield from _element(kind, text, 2)
    if "optional" in selection:
        yield from _element("optional", "YES", 2)
    yield f"  </{name}>"


def _plugin(name: str, section: Application | Script) -> Iterator[str]:
    yield f"  <{name}>"
    yield from _element("plugin", section.plugin, 2)
    if isinstance(section, Script):
        yield from _element("execute_where", section.execute_where.upper(), 2)
        moments = [moment.upper() for moment in _EXECUTE_ON if moment in section.execute_on]
        if moments:
            yield from _element("execute_on", ",".join(moments), 2)
    yield from _properties(section.property)
    if section.client_name:
        yield from _element("client_name", section.client_name, 2)
    yield f"  </{name}>"


def _properties(properties: Properties) -> Iterator[str]:
    for name, values in properties.items():
        yield "    <property>"
        yield from _element("name", name, 3)
        if name in properties.priority:
            yield from _element("priority", "yes", 3)
        yield "      " + "      ".join(_tagged("value", value) for value in values)
        yield "    </property>"
