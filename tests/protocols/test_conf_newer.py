"""What newer releases of Amanda write or mean otherwise than 3.5.1 (amanda-3.5.4, rows 1 to 6)."""

from __future__ import annotations

import pytest

from protocols.conf import AutoLabel, Loaded, load
from protocols.conf.values import Version

SECTIONS = """
define changer disk {
  tpchanger "chg-disk:/x"
}
define policy keep {
  retention-days 3
}
define tapetype LTO {
  length 5 gbytes
}
define taperscan lexical {
  plugin "lexical"
}
define interactivity ask {
  plugin "email"
}
define application tar {
  plugin "amgtar"
}
"""


def read(
    text: str, *overrides: str, version: Version | None = None, asked: list[str] | None = None
) -> Loaded:
    """:param asked: gets an entry when the version is asked for"""

    def amanda_version() -> Version | None:
        if asked is not None:
            asked.append("asked")
        return version

    files = {"/etc/amanda/N/amanda.conf": text.encode()}
    return load("N", files.get, overrides=overrides, amanda_version=amanda_version)


EVERY = AutoLabel("A%%", empty=True, volume_error=True, non_amanda=True, other_config=True)
NARROW = AutoLabel("A%%", empty=True, volume_error=True)


@pytest.mark.parametrize(
    ("version", "meaning"),
    [
        (None, NARROW),
        ((3, 5, 2), NARROW),
        ((3, 5, 4), NARROW),
        ((4,), NARROW),
        ((3, 5, 1), EVERY),
        ((3, 5), EVERY),
        ((3, 4, 99), EVERY),
    ],
)
def test_autolabel_any_protects_what_the_amanda_beside_us_protects(
    version: Version | None, meaning: AutoLabel
) -> None:
    """Other configurations' volumes and foreign data are safe unless Amanda is known to be old."""
    text = 'autolabel "A%%" any\ndefine storage s {\n autolabel "A%%" empty any\n}\n'
    config = read(text, version=version).config
    assert config.general.autolabel == meaning
    storage = config.storage("s")
    assert storage is not None
    assert storage.autolabel == meaning
    overridden = read("", 'autolabel="A%%" any', version=version).config
    assert overridden.general.autolabel == meaning


def test_other_words_mean_the_same_in_every_version() -> None:
    """Who names the kinds gets them, and the version is not even asked for."""
    asked: list[str] = []
    text = 'autolabel "A%%" empty volume-error other-config non-amanda\n'
    assert read(text, version=(3, 5, 4), asked=asked).config.general.autolabel == EVERY
    assert asked == []
    # "any" beside them adds nothing, and takes nothing away
    text = 'autolabel "A%%" any other-config non-amanda\n'
    assert read(text, version=(3, 5, 4)).config.general.autolabel == EVERY


def test_names_of_sections_need_no_quotes() -> None:
    """Even where the name is a keyword; with quotes it is the same."""
    bare = (
        "define storage s {\n tpchanger disk\n policy keep\n tapetype LTO\n taperscan lexical\n"
        " interactivity ask\n}\ntpchanger disk\ntaperscan lexical\ninteractivity ask\n"
        "define dumptype d {\n application tar\n}\nstorage s\n"
    )
    quoted = bare
    for name in ("disk", "keep", "LTO", "lexical", "ask", "tar"):
        quoted = quoted.replace(f" {name}\n", f' "{name}"\n')
    loaded = [read(SECTIONS + text) for text in (bare, quoted)]
    assert [one.messages for one in loaded] == [(), ()]
    for one in loaded:
        storage = one.config.storage("s")
        dumptype = one.config.dumptype("d")
        assert storage is not None
        assert dumptype is not None
        found = (storage.tpchanger, storage.policy, storage.tapetype, storage.taperscan)
        assert found == ("disk", "keep", "LTO", "lexical")
        assert (storage.interactivity, dumptype.application) == ("ask", "tar")
        general = one.config.general
        assert (general.tpchanger, general.taperscan, general.interactivity) == (
            "disk",
            "lexical",
            "ask",
        )


@pytest.mark.parametrize("line", ["tapedev foo", "tapepool foo", "labelstr foo", "tpchanger 5"])
def test_what_is_text_still_needs_quotes(line: str) -> None:
    loaded = read(f"define storage s {{\n{line}\n}}\n")
    assert loaded.failed


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("storage:s:tpchanger=disk", "disk"),
        ('storage:s:tpchanger="disk"', "disk"),
        ("storage:s:tpchanger=chg-disk:/a b", "chg-disk:/a b"),
        ('storage:s:tpchanger="chg-disk:/a b"', "chg-disk:/a b"),
        ("storage:s:tpchanger=", ""),
        ('storage:s:tpchanger=""', ""),
    ],
)
def test_an_override_of_a_name_may_have_quotes(override: str, value: str) -> None:
    """From 3.5.2 on it must, unless it is a plain word; before, it must not."""
    loaded = read(f"{SECTIONS}define storage s {{\n}}\nstorage s\n", override)
    assert not loaded.failed
    storage = loaded.config.storage("s")
    assert storage is not None
    assert storage.tpchanger == value


def test_an_override_with_a_name_of_nothing_is_refused() -> None:
    """The text names the override, quotes and all."""
    text = SECTIONS + "define storage s {\n}\nstorage s\n"
    assert not read(text, 'storage:s:policy="keep"').failed
    (message,) = read(text, 'storage:s:policy="none"').messages
    assert message.text == "argument '\"none\"': Unknown policy named: none"


def test_an_override_of_a_text_keeps_its_quotes() -> None:
    """A text is taken as it is, by every version."""
    assert read("", 'org="a"').config.general.org == '"a"'


def test_an_empty_label_new_tapes_labels_nothing() -> None:
    """It is how autolabel was switched off before there was one."""
    assert read('label-new-tapes ""\n').config.general.autolabel == AutoLabel()
    on = AutoLabel("X%", empty=True, volume_error=True)
    assert read('label-new-tapes "X%"\n').config.general.autolabel == on


def test_a_directory_in_the_place_of_an_included_file_includes_nothing() -> None:
    """Stock reads nothing from it, and says nothing; we say so."""

    def read_file(path: str) -> bytes | None:
        if path.endswith("/sub"):
            raise IsADirectoryError(21, "Is a directory")
        return b'includefile "sub"\nruntapes 3\n' if "/N/" in path else None

    loaded = load("N", read_file)
    assert not loaded.failed
    assert loaded.config.general.runtapes == 3
    (message,) = loaded.messages
    assert message.text == (
        "'/etc/amanda/N/sub', line 1: warning: it is a directory, and includes nothing"
    )
