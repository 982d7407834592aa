"""Properties of an ``s3:`` device: what they mean, and what is said of bad ones."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from devices.configure import configure_device
from devices.errors import ChangerError, DriveFailed
from devices.registry import open_blocking_device
from devices.s3 import S3Device
from devices.s3_client import system_authorities
from protocols.conf import load

CONF = """org "cloud"
tapetype S3
define tapetype S3 {{
  length 100 gbytes
}}
define device cloud {{
  tapedev "s3:{node}"
  device-property "S3_ACCESS_KEY" "AKIAEXAMPLE"
  device-property "S3_SECRET_KEY" "very secret"
  {device}
}}
"""
PATH = "/etc/amanda/Conf/amanda.conf"
NUMBER = "a whole number, perhaps with a unit"


def configured(*device: str, node: str = "bucket-1/slot-1-") -> S3Device:
    """The device of such a configuration; :raise ChangerError: it is refused"""
    text = CONF.format(device="\n  ".join(device), node=node)
    config = load("Conf", {PATH: text.encode()}.get).config
    made = open_blocking_device("cloud", config)
    assert isinstance(made, S3Device)
    configure_device(made, config, None, config.device("cloud"), {})
    return made


def prop(name: str, value: str) -> str:
    return f'device-property "{name}" "{value}"'


def test_defaults() -> None:
    """Amazon, by TLS, the limit of the tapetype not enforced; several requests at a time."""
    device = configured()
    assert (device.place.bucket, device.place.prefix) == ("bucket-1", "slot-1-")
    assert (device.block_size, device.leom, device.writers, device.readers) == (
        10 * 2**20, True, 4, 4,
    )  # fmt: skip
    assert device.properties.number("max_volume_usage") == 100 * 2**30
    assert not device.properties.flag("enforce_max_volume_usage")
    settings = device.settings()
    assert (settings.host, settings.tls, settings.virtual, settings.region) == ("", True, False, "")


def test_what_they_mean() -> None:
    device = configured(
        prop("S3_HOST", "S3.Example.com:8333"),
        prop("S3_SSL", "no"),
        prop("S3_SERVICE_PATH", "/gate/way/"),
        prop("S3_SUBDOMAIN", "yes"),
        prop("S3_BUCKET_LOCATION", "eu-west-1"),
        prop("S3_SESSION_TOKEN", "token"),
        prop("SSL_CA_INFO", "/etc/ca.pem"),
        prop("PROXY", "proxy:3128"),
        prop("REUSE_CONNECTION", "no"),
        prop("NB_THREADS_BACKUP", "7"),
        prop("CHUNKED", "yes"),
    )
    settings = device.settings()
    assert (settings.host, settings.tls, settings.path) == (
        "s3.example.com:8333",
        False,
        "gate/way",
    )
    assert (settings.virtual, settings.region) == (True, "eu-west-1")
    assert (settings.ca_file, settings.proxy) == ("/etc/ca.pem", "proxy:3128")
    assert not settings.keep_alive
    assert device.writers == 7
    assert device.multi_part
    assert "secret" not in repr(settings)
    assert "token" not in repr(settings).replace("session_token", "")


def test_a_location_of_amazon_is_reached_by_the_name_of_the_bucket() -> None:
    """So it has to be usable as one; ``*`` stands for no location."""
    assert configured(prop("S3_BUCKET_LOCATION", "eu-west-1")).settings().virtual
    assert not configured(prop("S3_BUCKET_LOCATION", "*")).settings().virtual
    device = configured(prop("S3_BUCKET_LOCATION", "eu-west-1"), node="Bucket/x-")
    with pytest.raises(DriveFailed, match=r"Location constraint given .* name \(Bucket\) is not"):
        device.settings()


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("s3-ssl", "perhaps", "yes or no"),
        ("s3-multi-part-upload", "2", "yes or no"),
        ("s3-host", "http://store:8333", "it must be a host, or HOST:PORT"),
        ("s3-host", "store/../x", "it must be a host, or HOST:PORT"),
        ("s3-service-path", "a/../b", "it must be a path"),
        ("s3-service-path", "/..", "it must be a path"),
        ("s3-bucket-location", "eu west", "it must be the name of a region, or *"),
        ("s3-storage-class", "GLACIER IR", "it must be one word"),
        ("s3-server-side-encryption", "AES 256", "it must be AES256 or aws:kms"),
        ("proxy", "proxy 3128", "it must be a host, HOST:PORT or a URL"),
        ("block-size", "512", "it must be between 1024 and 3221225472"),
        ("nb-threads-backup", "0", "it must be between 1 and 64"),
        ("nb-threads-recovery", "65", "it must be between 1 and 64"),
        ("nb-threads-backup", "many", NUMBER),
        ("max-send-speed", "5119", "MAX-SEND-SPEED property is too low (minimum value is 5120)"),
        ("max-recv-speed", "1k", "MAX-RECV-SPEED property is too low (minimum value is 5120)"),
        ("storage-api", "SWIFT-2.0", "is not served by this taper, expected S3 or AWS4"),
        ("openstack-swift-api", "yes", "Swift is not served by this taper, expected no"),
        ("fsync", "no", "unknwon device-property"),
        ("nosuch", "1", "No such device-property"),
    ],
)
def test_bad_ones(name: str, value: str, expected: str) -> None:
    """The file, the line, the property, its value, and what it should be."""
    with pytest.raises(ChangerError) as caught:
        configured(prop(name, value))
    text = caught.value.message
    start = f"Error setting device property '{name}' to value '{value}' on device 'cloud': "
    assert text.startswith(start)
    assert expected in text
    assert text.endswith(f" ('{PATH}', line 10)")


def test_a_bucket_that_is_no_host() -> None:
    """In stock's words, its slip included."""
    text = (
        r"S3-SUBDOMAIN is set, but the bucket name \(Bucket_1\) is not usable as a subdomain, "
        r"only \[a-zo-9-\] characters are allowed\."
    )
    with pytest.raises(ChangerError, match=text):
        configured(prop("S3_SUBDOMAIN", "yes"), node="Bucket_1/x-")


def test_secrets_are_in_no_text() -> None:
    """Not even where they are refused: one of another device is."""
    password = 'device-property "NDMP_PASSWORD" "hush"'
    text = f'org "x"\ndefine device vtape {{\n  tapedev "file:/x"\n  {password}\n}}\n'
    config = load("Conf", {PATH: text.encode()}.get).config
    vtape = open_blocking_device("vtape", config)
    with pytest.raises(ChangerError) as caught:
        configure_device(vtape, config, None, config.device("vtape"), {})
    assert "to value '***' on device 'vtape': unknwon device-property" in caught.value.message


@pytest.mark.parametrize("which", ["S3_ACCESS_KEY", "S3_SECRET_KEY"])
def test_credentials_that_are_missing(which: str) -> None:
    """Are told when the store is first needed, in stock's words and with the property's name."""
    device = configured(prop(which, ""))
    reading = device.read_label()
    what = "access" if "ACCESS" in which else "secret"
    expected = f"No Amazon {what} key specified (device property {which})"
    assert (reading.error, reading.status) == (expected, device.status.DEVICE_ERROR)


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("USERNAME", "me", "it is for Swift and CAStor"),
        ("CLIENT_ID", "me", "it is for OAuth 2"),
        ("REPS", "3", "it is for CAStor"),
        ("S3_USER_TOKEN", "x", "it is for Amazon DevPay"),
        ("TRANSITION_TO_GLACIER", "30", "rules of the bucket"),
        ("READ_FROM_GLACIER", "yes", "must be restored by other means"),
        ("STORAGE_API", "S4", "the STORAGE_API 'S4' is taken for S3"),
    ],
)
def test_what_has_no_effect_is_warned_of(
    name: str, value: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Once, by its name."""
    with caplog.at_level(logging.WARNING):
        configured(prop(name, value))
    (message,) = caplog.messages
    assert why in message
    assert name in message


@pytest.mark.parametrize(
    ("node", "text"),
    [
        ("", "Empty bucket name in device s3:"),
        ("/prefix", "Empty bucket name in device s3:/prefix"),
        ("..", "'..' is not the name of a bucket, expected 2 to 255 letters"),
        ("a b/x", "'a b' is not the name of a bucket"),
        ("bucket/../other/", "the prefix '../other/' has a segment '.' or '..' in it"),
        ("bucket/" + "x" * 1000, "the prefix has 1000 bytes, expected 992 at most"),
    ],
)
def test_bad_names(node: str, text: str) -> None:
    with pytest.raises(DriveFailed) as caught:
        open_blocking_device(f"s3:{node}")
    assert text in caught.value.text


def test_authorities(tmp_path: Path) -> None:
    """A file that is not there is told at once; without one it is the system's."""
    reading = configured(prop("SSL_CA_INFO", f"{tmp_path}/ca.pem")).read_label()
    assert reading.error == f"there is no file '{tmp_path}/ca.pem' (device property SSL_CA_INFO)"
    found = system_authorities()
    assert found is None or Path(found).is_file()


def test_without_boto3(monkeypatch: pytest.MonkeyPatch) -> None:
    """The text says what to install."""
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(DriveFailed, match=r"pip install 'twisted-taper\[s3\]'"):
        open_blocking_device("s3:bucket/slot-1-")


def test_opening_is_quick() -> None:
    """Nothing of boto3 is loaded before the store is asked, which is done in a thread."""
    code = (
        "import sys, devices.registry as r; r.open_blocking_device('s3:bucket/slot-1-'); "
        "print([m for m in sys.modules if m.startswith(('boto', 'urllib3'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_our_own_may_stand_where_stock_passes_over_them() -> None:
    """As a property of the changer, before one of all; all others count for nothing there."""
    text = CONF.format(device="", node="bucket-1/slot-1-")
    text += 'property "S3_RETENTION_MODE" "governance"\nproperty "S3_RETENTION" "3 weeks"\n'
    config = load("Conf", {PATH: text.encode()}.get).config
    for changer, mode in (
        ({}, "governance"),
        ({"s3-retention-mode": ("compliance",), "chunked": ("yes",)}, "compliance"),
    ):
        device = open_blocking_device("cloud", config)
        configure_device(device, config, None, config.device("cloud"), {}, changer)
        assert device.properties["s3_retention_mode"].value == mode
        assert device.properties.number("s3_retention") == 21
        assert not device.properties.flag("chunked")


def test_a_volume_is_held_as_long_as_the_policy_says() -> None:
    """If nothing else is said: nine other volumes are written first, one a day."""
    text = "tapecycle 10\ndumpcycle 7\n" + CONF.format(device="", node="bucket-1/slot-1-")
    config = load("Conf", {PATH: text.encode()}.get).config
    device = open_blocking_device("cloud", config)
    configure_device(device, config, None, config.device("cloud"), {})
    assert device.properties.number("s3_retention") == 9


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("S3_RETENTION_MODE", "forever", "it must be compliance or governance"),
        ("S3_RETENTION", "0", "it must be between 1 and 36500"),
        ("S3_RETENTION", "a month", NUMBER),
    ],
)
def test_bad_retention(name: str, value: str, expected: str) -> None:
    """The text names file, line, value and what was expected, wherever it stands."""
    text = CONF.format(device="", node="bucket-1/slot-1-") + f'property "{name}" "{value}"\n'
    config = load("Conf", {PATH: text.encode()}.get).config
    device = open_blocking_device("cloud", config)
    with pytest.raises(ChangerError) as caught:
        configure_device(device, config, None, config.device("cloud"), {})
    assert f"'{value}'" in str(caught.value)
    assert expected in str(caught.value)
    assert PATH in str(caught.value)
