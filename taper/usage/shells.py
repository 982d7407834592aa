"""Completions for shells: a script for each, which asks ``taperctl complete`` what may stand there.

What the script sends is the line as the shell has it; what it gets is one line that says whether
paths are offered besides (:class:`~taper.usage.completing.Paths`), and one for each value.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from string import Template

from taper.usage.completing import Offer
from taper.usage.programs import NAMES

_BASH = Template("""\
# bash completion of $programs
_taperctl()
{
    local answer
    mapfile -t answer < <($run complete bash "$${1##*/}" "$$COMP_WORDBREAKS" \\
        "$${COMP_LINE:0:COMP_POINT}" 2>/dev/null)
    COMPREPLY=("$${answer[@]:1}")
    case $${answer[0]} in
        files) compopt -o default ;;
        directories) compopt -o dirnames ;;
    esac
} &&
    complete -F _taperctl $programs
""")
_ZSH = Template("""\
#compdef $programs
_taperctl()
{
    local paths
    local -a answer
    answer=("$${(@f)$$($run complete zsh "$${words[1]:t}" \\
        "$${(@Q)words[2,CURRENT-1]}" "$${(Q)PREFIX}" 2>/dev/null)}")
    paths=$$answer[1]
    shift answer
    (( $$#answer )) && _describe value answer
    [[ $$paths != words && $$PREFIX == --*=* ]] && compset -P '*='
    case $$paths in
        files) _files ;;
        directories) _files -/ ;;
    esac
}
if [[ $${funcstack[1]} == _taperctl ]]; then
    _taperctl "$$@"
else
    compdef _taperctl $programs
fi
""")
_FISH = Template("""\
# fish completion of $programs
function __taperctl_complete
    set -l words (commandline -opc)
    set -l last (commandline -ct | string unescape)
    set -l answer ($run complete fish (basename $$words[1]) $$words[2..] "$$last" 2>/dev/null)
    switch "$$answer[1]"
        case files
            __fish_complete_path "$$last"
        case directories
            __fish_complete_directories "$$last"
    end
    printf '%s\\n' $$answer[2..]
end
for program in $programs
    complete -c $$program -f -a '(__taperctl_complete)'
end
""")
_SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}
SHELLS = tuple(_SCRIPTS)

_SPECIAL = {"": frozenset(" \t!\"#$&'()*;<>?[\\]^`{|}~"), '"': frozenset('"$\\`'), "'": frozenset()}
"""By the quote that is open, what bash would not take as it stands."""


def script(shell: str, run: Sequence[str]) -> str:
    """What a shell reads.

    :param shell: one of :data:`SHELLS`
    :param run: the command line of the taperctl that is asked
    """
    return _SCRIPTS[shell].substitute(run=shlex.join(run), programs=" ".join(NAMES))


class BashLine:
    """A command line as bash has it, up to the cursor.

    :ivar words: as the program would be given them, without its own name; the last one is not
        finished, and may be empty
    """

    def __init__(self, text: str, breaks: str) -> None:
        """
        :param breaks: letters at which bash begins a new word, though the program gets one
        """
        self._breaks = breaks
        self._quote, self.words = _split(text)
        if len(self.words) < 2:  # the name itself is not finished
            self.words = ["", ""]
        del self.words[0]

    def answer(self, offer: Offer) -> list[str]:
        """The lines of the answer: what bash puts in the place of what it takes for the word."""
        last = self.words[-1]
        known = -1
        if not self._quote:
            known = max((last.rfind(letter) for letter in self._breaks), default=-1)
        special = _SPECIAL[self._quote]
        values = (_escaped(value[known + 1 :], special) for value in offer.values)
        return [offer.paths.value, *values]


def _split(text: str) -> tuple[str, list[str]]:
    """The quote that is open, and the words."""
    for end in ("", '"', "'"):
        try:
            words = shlex.split(f"{text.removesuffix(_backslash(text))}\0{end}")
        except ValueError:
            continue
        words[-1] = words[-1].removesuffix("\0")
        return end, words
    raise AssertionError(text)


def _backslash(text: str) -> str:
    """That escapes what is not there yet."""
    count = len(text) - len(text.rstrip("\\"))
    return "\\" if count % 2 else ""


def _escaped(value: str, special: frozenset[str]) -> str:
    return "".join(f"\\{letter}" if letter in special else letter for letter in value)


def told(shell: str, offer: Offer) -> list[str]:
    """The lines of the answer to zsh or fish, which show what is told of a value."""
    if shell == "fish":
        pairs = [f"{value}\t{text}" for value, text in offer.values.items()]
    else:
        pairs = [
            value.replace("\\", "\\\\").replace(":", "\\:") + (f":{text}" if text else "")
            for value, text in offer.values.items()
        ]
    return [offer.paths.value, *pairs]
