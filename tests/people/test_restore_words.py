"""What another host is told, and how its answers are read."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taper.people.restore import far_words
from taper.people.restore.far_words import Progress, Ready, brief, read_progress, read_ready
from taper.people.restore.target import FarTarget, far_target

HOSTILE = [
    *("it's", "$(touch pwned)", "`touch pwned`", "a b", "*", "~", "-rf", "", "\\", "a\\", "\\'"),
    *("\\\\", "!!", "a;touch pwned", "a\nb", 'q"q', "$HOME", "&", "|", "#c", "=ls", "%1", "{a,b}"),
    *("'; touch pwned; '", "\\'; touch pwned; '", "\\\\'; touch pwned; #", "caf\u00e9", "\udcff"),
]
SHELLS = ("sh", "bash", "zsh", "fish", "csh", "tcsh")


@pytest.mark.parametrize("shell", [name for name in SHELLS if shutil.which(name)])
def test_hostile_words_are_words_to_every_login_shell(shell: str) -> None:
    """csh has no way to say a line end, and refuses it."""
    hostile = [word for word in HOSTILE if "csh" not in shell or "\n" not in word]
    words = ("/bin/sh", "-c", 'printf "%s:" "$@"', "sh", *hostile)
    command = " ".join(map(far_words.quoted, words))
    done = subprocess.run([shell, "-c", command], stdout=subprocess.PIPE, check=True)
    expected = "".join(f"{word}:" for word in hostile)
    assert done.stdout.decode("utf-8", "surrogateescape") == expected


@given(st.text(st.characters(exclude_characters="\0"), max_size=30))
def test_no_word_ends_its_quotes(word: str) -> None:
    """Read as every shell reads it: outside of quotes there are backslashes alone, each before a
    letter; within them there is none, and no quote."""
    text, inside, plain = iter(far_words.quoted(word)), False, []
    for char in text:
        if char == "'":
            inside = not inside
        elif inside:
            assert char not in "\\!"
            plain.append(char)
        else:
            assert char == "\\"
            plain.append(next(text))
    assert not inside
    assert "".join(plain) == word


def test_scripts_need_no_quoting_that_shells_differ_in() -> None:
    for script in (far_words._PREPARE, far_words._UNPACK):
        assert not set(script) & set("'\\!\n")


def test_a_command_is_bounded() -> None:
    far_words.unpacking(["/bin/tar", "a" * (far_words.MOST_BYTES - 1000)])
    with pytest.raises(far_words.TooManyWords, match="name fewer or shorter paths"):
        far_words.unpacking(["/bin/tar", *["a" * 99] * 1000])


@pytest.mark.parametrize(
    ("to", "host", "directory"),
    [
        ("db.example.com:/srv/back", "db.example.com", "/srv/back"),
        ("root@db:back", "root@db", "./back"),
        ("db:-rf", "db", "./-rf"),
        ("db:/a:b/c@d", "db", "/a:b/c@d"),
        ("[fe80::1%eth0]:/x", "fe80::1%eth0", "/x"),
        ("me@[::1]:x", "me@::1", "./x"),
        ("db:a\nb", "db", "./a\nb"),
    ],
)
def test_directories_of_other_hosts(to: str, host: str, directory: str) -> None:
    assert far_target(to) == FarTarget(host=host, directory=directory)


@pytest.mark.parametrize("to", ["-", "back", "/srv/back", "./a:b", "/a:b", "a/b:c", "me@here"])
def test_directories_of_this_host(to: str) -> None:
    assert far_target(to) is None


@pytest.mark.parametrize(
    "to",
    [
        *(":x", "-oProxyCommand=id:/x", "-l@db:/x", "@db:/x", "me@:/x", "a b:/x", "a;id:/x"),
        *("db:", "db:~/x", "a\nb:/x", "[]:/x", "[-x]:/x", "$(id):x", "x\\y:/x"),
    ],
)
def test_what_is_neither(to: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        far_target(to)


@pytest.mark.parametrize(
    ("said", "ready"),
    [
        (b"Welcome!\n\ntaper-far ready 0 empty /bin/tar\n", Ready(0, "empty", "/bin/tar")),
        (b"taper-far ready 1000 full none\r\n", Ready(1000, "full", None)),
        (b"taper-far ready 0 empty /bin/tar", None),
        (b"taper-far ready x empty /bin/tar\n", None),
        (b"taper-far ready 0 gone /bin/tar\n", None),
        (b"taper-far ready 0 empty\n", None),
        (b"\xff\0\n\n", None),
    ],
)
def test_readiness(said: bytes, ready: Ready | None) -> None:
    assert read_ready(said) == ready


def test_progress() -> None:
    assert read_progress(b"hello taper-far begin\n") == Progress()
    assert read_progress(b"\ntaper-far absent\n") == Progress(absent=True)
    assert read_progress(b"taper-far begin\ntaper-far end") == Progress(begun=True)
    assert read_progress(b"taper-far begin\ntaper-far end 0") == Progress(begun=True)
    assert read_progress(b"taper-far end 0\n") == Progress()
    assert read_progress(b"taper-far begin\ntaper-far end 2\n") == Progress(begun=True, status=2)


@given(st.binary(max_size=200))
def test_any_answer(said: bytes) -> None:
    read_ready(said)
    assert read_progress(said).status is None or b"taper-far" in said


def test_what_was_said_before_is_nobodys_complaint() -> None:
    assert far_words.own(b"No tty\n\ntaper-far\ntar: no\n") == b"tar: no\n"
    assert far_words.own(b"Permission denied\n") == b"Permission denied\n"


def test_a_long_complaint_is_told_in_brief() -> None:
    assert brief(b"") == ""
    said = b"@@@@\n" * 99 + b"one\n\n two\nHost key verification failed.\r\n"
    assert brief(said) == "one; two; Host key verification failed."
    assert len(brief(b"x" * 65536)) == 300
