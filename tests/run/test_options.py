"""The command line, as the driver gives it."""

from __future__ import annotations

import pytest

from taper.run.options import HELP, USAGE, Options, UsageError, parse_options


@pytest.mark.parametrize(
    ("line", "options"),
    [
        ("DailySet", Options(config_name="DailySet")),
        (
            "DailySet --storage S --log-filename /l/log.1.0 -oa=b",
            Options(
                config_name="DailySet",
                storage="S",
                log_filename="/l/log.1.0",
                overrides=("a=b",),
            ),
        ),
        (
            "-o a=b --storage-name=S -oc=d=e --log=/l DailySet",
            Options(
                config_name="DailySet", storage="S", log_filename="/l", overrides=("a=b", "c=d=e")
            ),
        ),
        ("-oc= X", Options(config_name="X", overrides=("c=",))),
        ("-- -X", Options(config_name="-X")),
        ("--version", Options(version=True)),
        ("X --version", Options(version=True)),
        ("--help", Options(help=True)),
    ],
)
def test_what_a_driver_says(line: str, options: Options) -> None:
    """Options after the name, abbreviations, overrides joined or apart and in order."""
    assert parse_options(line.split(" ")) == options


def test_the_usage_shows_what_is_required() -> None:
    """--log-filename is no option that one can leave out; its file is."""
    assert USAGE.startswith("USAGE: taper --log-filename FILE [")
    assert HELP.startswith(USAGE)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("", "expected one configuration name, got 0"),
        ("A B", "expected one configuration name, got 2"),
        ("A --nosuch", "--nosuch"),
        ("A --log-filename", "--log-filename"),
        ("A -o", "-o"),
        ("A -ofoo", "Must specify a value for foo."),
    ],
)
def test_what_nobody_understands(line: str, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        parse_options(line.split())
