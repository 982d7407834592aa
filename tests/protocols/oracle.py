"""Amanda's own Perl modules, asked for their opinion."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import Any

import pytest

_LIBRARY = "/usr/lib/x86_64-linux-gnu/amanda/perl"

needs_amanda_perl = pytest.mark.skipif(
    shutil.which("perl") is None or not os.path.isdir(_LIBRARY),
    reason="Amanda's Perl modules are not installed",
)

_DRIVER = r"""
use strict; use JSON::PP; binmode STDIN; binmode STDOUT;
my $answers = [];
sub to_hex { defined $_[0] ? unpack("H*", $_[0]) : undef }
sub from_hex { pack("H*", $_[0]) }
for my $question (@{decode_json(do { local $/; <STDIN> })}) {
    push @$answers, answer($question);
}
print encode_json($answers);
"""


def ask(module: str, answer: str, questions: list[Any]) -> list[Any]:
    """Run ``answer``, the body of a Perl sub, for each question; bytes travel as hex."""
    script = f"use {module};\nsub answer {{ my ($q) = @_; {answer} }}\n{_DRIVER}"
    done = subprocess.run(
        ["perl", f"-I{_LIBRARY}", "-e", script],
        input=json.dumps(questions).encode(),
        capture_output=True,
        check=True,
        timeout=600,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
    )
    answers: list[Any] = json.loads(done.stdout)
    return answers


def to_hex(text: str | bytes) -> str:
    """Text or bytes as a question."""
    data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    return data.hex()


def from_hex(answer: str) -> bytes:
    """Bytes of an answer."""
    return bytes.fromhex(answer)
