"""Names and properties of ndmp devices: what needs no server."""

from __future__ import annotations

import pytest
from zope.interface.verify import verifyObject

from devices.errors import DriveFailed, PropertyRefused
from devices.interfaces import IDeviceFacts
from devices.ndmp_control import ServerName, parse_server_name
from devices.ndmp_facts import NdmpFacts
from devices.registry import open_blocking_device


@pytest.mark.parametrize(
    ("node", "host", "port", "device"),
    [
        ("h@/dev/nst0", "h", 0, "/dev/nst0"),
        ("h:10001@/dev/nst0", "h", 10001, "/dev/nst0"),
        ("h@a:b@c", "h", 0, "a:b@c"),
        ("h:0@x", "h", 0, "x"),
        ("[::1]:99@x", "::1", 99, "x"),
        ("[::1]@x", "::1", 0, "x"),
    ],
)
def test_a_name_has_host_port_and_device(node: str, host: str, port: int, device: str) -> None:
    """The first @ parts server and device; a colon counts only before it."""
    assert parse_server_name(f"ndmp:{node}", node) == (ServerName(host, port), device)


@pytest.mark.parametrize(
    ("node", "text"),
    [
        ("foo", "invalid ndmp device name 'ndmp:foo'"),
        ("h:x@d", "invalid ndmp port in device name 'ndmp:h:x@d'"),
        ("h:70000@d", "invalid ndmp port in device name 'ndmp:h:70000@d'"),
        ("h:-1@d", "invalid ndmp port in device name 'ndmp:h:-1@d'"),
    ],
)
def test_what_is_no_name(node: str, text: str) -> None:
    """Refused in stock's words."""
    with pytest.raises(DriveFailed) as caught:
        parse_server_name(f"ndmp:{node}", node)
    assert caught.value.text == text


def test_servers_are_the_same_by_host_and_port() -> None:
    """Case and a port left out make no difference."""
    assert ServerName("Host").is_same_server(ServerName("host", 10000))
    assert not ServerName("host").is_same_server(ServerName("host", 10001))


def test_the_properties_of_the_device() -> None:
    """Defaults, and what is refused."""
    facts = NdmpFacts("ndmp:h@d")
    assert verifyObject(IDeviceFacts, facts)
    told = {prop.name: prop.text() for prop in facts.properties}
    assert told["ndmp_username"] == told["ndmp_password"] == "ndmp"
    assert told["ndmp_auth"] == "md5"
    assert told["indirect"] == told["leom"] == "1"
    assert told["streaming"] == "1"
    assert told["concurrency"] == told["appendable"] == told["full_deletion"] == "0"
    assert told["max_block_size"] == "4294967295"
    assert not facts.allow_take_scribe_from
    with pytest.raises(PropertyRefused, match="Error setting LEOM property, it must be TRUE"):
        facts.properties.set("leom", "no")
    with pytest.raises(PropertyRefused, match="READ-BLOCK-SIZE property to '1000'"):
        facts.properties.set("read-block-size", "1000")
    with pytest.raises(PropertyRefused, match="BLOCK-SIZE property to '1024'"):
        facts.properties.set("block-size", "1k")
    facts.properties.set("read-block-size", "64k")
    assert facts.read_size == 65536


def test_a_blocking_caller_is_told() -> None:
    """Who wants a blocking device of an asynchronous type gets an error, not a surprise."""
    with pytest.raises(DriveFailed, match="is asynchronous"):
        open_blocking_device("ndmp:h@d")
