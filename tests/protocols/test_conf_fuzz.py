"""No input makes the reader of amanda.conf raise or hang."""

from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.conf import load
from protocols.conf.grammar import GLOBAL, KEYWORDS, SECTIONS

_WORDS = sorted(KEYWORDS | set(GLOBAL) | set(SECTIONS))
_TOKENS = st.one_of(
    st.sampled_from(_WORDS),
    st.sampled_from([" ", "\n", "{", "}", ",", '"', "\\", "#", "\r", "\x00", "-", "$12s", "%"]),
    st.sampled_from(["1", "-1", "0", "1.5", "99999999999999999999", "k", "gbytes", "inf", "x"]),
    st.sampled_from(['"x"', '""', '"a b"', '"\\101"', "custom(ts).1", "define tapetype x {\n"]),
    st.text(max_size=4),
)
_TEXTS = st.lists(_TOKENS, max_size=40).map(" ".join)
_LINES = st.lists(st.lists(_TOKENS, max_size=5).map(" ".join), max_size=15).map("\n".join)


def _check(data: bytes, overrides: tuple[str, ...] = ()) -> None:
    files = {"/etc/amanda/F/amanda.conf": data, "/etc/amanda/F/x": data}
    loaded = load("F", files.get, overrides=overrides)
    assert loaded.config.name == "F"
    assert all(message.text and "\n" not in message.text for message in loaded.messages)
    assert loaded.failed or loaded.config.storage(loaded.config.default_storage_name())


@settings(max_examples=150)
@given(st.binary(max_size=300))
def test_any_bytes_give_a_configuration_or_messages(data: bytes) -> None:
    _check(data)


@settings(max_examples=200)
@given(st.one_of(_TEXTS, _LINES))
def test_any_mixture_of_words_gives_a_configuration_or_messages(text: str) -> None:
    _check(text.encode("utf-8", "surrogateescape"))


@settings(max_examples=100)
@given(st.sampled_from(_WORDS), st.lists(_TOKENS, max_size=4).map(" ".join))
def test_any_override_gives_a_configuration_or_messages(word: str, text: str) -> None:
    _check(b"define storage s {\n}\n", (f"{word}={text}", f"storage:s:{word}={text}", text))
