"""Labels: which ones a storage's templates match, and making new ones.

Pure: knows templates and tapelist entries, neither files nor configuration.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

from protocols.records import Record

if TYPE_CHECKING:
    from protocols.conf.config import Config
    from protocols.conf.sections import Storage
    from protocols.conf.values import AutoLabel, LabelStr
    from protocols.ere import Ere
    from protocols.tapelist import TapelistEntry

MAX_LABEL = 255
"""Bytes; a header field holds 256 with its end."""

_MAX_DIGITS = 100

# Stand for barcode and slot in a label being made; no label holds a NUL.
_BARCODE, _SLOT = "\0b", "\0s"

# What a template for making labels may hold.
_SIGN = re.compile(r"\$([$bmocr]|[0-9]*s)")
_SLOT_SIGN = re.compile(r"\$(\$|[0-9]*s)")
_META_SIGN = re.compile(r"\$([$oc])")
_RUNS = {"%": re.compile("%+"), "!": re.compile("!+")}


class LabelError(Exception):
    """No label can be made, or a template is wrong.

    :ivar text: the reason, as stock words it where it has words.
    :ivar exists: the label was made, but another volume has it: the next volume may do better.
    """

    taper_code = 1008

    def __init__(self, text: str, exists: bool = False) -> None:
        super().__init__(text)
        self.text = text
        self.exists = exists


class LabelUnfit(LabelError):
    """The only label for this volume is one that labelstr does not match: no later scan would
    know the volume by it. The next volume may do better."""

    taper_code = 1009


# Matching [config 4.1]


def labelstr_template(labelstr: LabelStr, autolabel: AutoLabel) -> str | None:
    """ "The labelstr template": with MATCH-AUTOLABEL, that of autolabel."""
    return autolabel.template if labelstr.match_autolabel else labelstr.template


class LabelScheme(Record, kw_only=True):
    """How a storage names its volumes, and what is known of the one at hand.

    :ivar storage: None: whatever has none, as in the label of a stray volume.
    :ivar barcode: of the volume, like ``meta`` and ``slot``; None: it has none, or nobody knows.
    :ivar stays: the volume never leaves its slot.
    """

    config: str
    org: str
    storage: str | None
    labelstr: LabelStr
    autolabel: AutoLabel
    barcode: str | None = None
    meta: str | None = None
    slot: str | None = None
    stays: bool = False

    @classmethod
    def of(cls, config: Config, storage: Storage) -> LabelScheme:
        """That of a storage, for no volume in particular."""
        return cls(
            config=config.name,
            org=config.general.org,
            storage=storage.name,
            labelstr=storage.labelstr,
            autolabel=storage.autolabel,
        )


def match_labelstr(scheme: LabelScheme, label: str) -> bool:
    """Is ``label`` one of this storage's? MATCH-AUTOLABEL is anchored, labelstr is not.

    Raises :class:`LabelError` when the template is not a valid expression.
    """
    template = labelstr_template(scheme.labelstr, scheme.autolabel)
    if scheme.labelstr.match_autolabel and template:
        template = f"^{template}$"
    return match_template(
        template,
        label,
        config=scheme.config,
        org=scheme.org,
        storage=scheme.storage,
        barcode=scheme.barcode,
        meta=scheme.meta,
    )


def match_template(
    template: str | None,
    label: str,
    *,
    config: str,
    org: str,
    storage: str | None,
    barcode: str | None = None,
    meta: str | None = None,
) -> bool:
    """Does the template match anywhere in ``label``? An empty one matches everything.

    Raises :class:`LabelError` when the template is not a valid expression.
    """
    if not template:
        return True
    values = {"c": config, "o": org, "b": barcode, "m": meta, "r": storage}
    return _expression(_expand(template, values)).search(label)


@lru_cache(maxsize=64)
def _expression(pattern: str) -> Ere:
    from protocols.ere import Ere, EreError  # not needed before the first scan

    try:
        return Ere(pattern)
    except EreError as error:
        raise LabelError(f'regex "{pattern}": {error}') from error


def _expand(template: str, values: dict[str, str | None]) -> str:
    """The regular expression that a template stands for."""
    out = []
    at = 0
    while at < len(template):
        char = template[at]
        after = template[at + 1 : at + 2]
        at += 1
        if char == "\\":
            out.append(after)  # bare: what follows keeps its meaning in the expression
            at += 1
        elif char == "%":
            out.append("[0-9]")
        elif char == "!":
            out.append("[A-Z]")
        elif char != "$" or not after:
            out.append(char)
        elif after in values:
            out.append(values[after] or "")
            at += 1
        elif after == "$":
            out.append("$")
            at += 1
        elif after == "s":
            out.append("[0-9]*")
            at += 1
        elif after in "0123456789":
            width, end = _width(template, at)
            at = end + 1
            if template[end : end + 1] == "s":
                out.append(f"[0-9]{{{width}}}")
        else:
            out.append(after)  # the character comes twice: here, and as itself
    return "".join(out)


def _width(template: str, at: int) -> tuple[int, int]:
    """The number at ``at`` of a template, and where it ends."""
    end = at
    while end < len(template) and template[end] in "0123456789":
        end += 1
    digits = template[at:end].lstrip("0")
    if len(digits) > 3 or int(digits or 0) > _MAX_DIGITS:
        raise LabelError(f"'${template[at:end]}s' in a label template asks for over 100 digits")
    return int(digits or 0), end


# Making [config 4.3, 4.5]


def make_label(
    template: str | None,
    known: Iterable[TapelistEntry],
    *,
    config: str,
    org: str,
    storage: str,
    barcode: str | None,
    meta: str | None,
    slot: str | None,
    stays: bool = False,
) -> str:
    """A label that no entry of ``known`` has.

    Where the slot alone makes the label, and a volume ``stays`` in its slot or bears the same
    barcode, a claim of that label is no obstacle: the caller holds the volume, so who claimed it
    is dead. The caller takes the claim out of the list.

    Raises :class:`LabelError`, with ``exists`` when the only possible label is taken.
    """
    if not template:
        raise LabelError("template is not set, you must set autolabel")
    entries = tuple(known)
    values = {"o": org, "c": config, "m": meta or "", "r": storage}
    text, slot_width = _substitute(template, values)

    place = (slot or "").rpartition(":")[2]
    if place.isascii() and place.isdigit():
        place = place.lstrip("0").rjust(slot_width, "0")

    def finish(draft: str) -> str:
        return draft.replace(_BARCODE, barcode or "").replace(_SLOT, place)

    drafts = _counted(text, "label")
    if drafts is None:
        label = finish(text)
        if _BARCODE not in text and _SLOT not in text:
            raise LabelError("autolabel require at least one '%' or '!'")
        namesake = next((entry for entry in entries if entry.label == label), None)
        same_volume = _SLOT in text and (stays or barcode is not None)
        owner = (config, storage, barcode)
        if namesake is not None and not (same_volume and _is_claim(namesake, owner)):
            raise LabelError(f"Label '{label}' already exists", exists=True)
    else:
        # With a barcode in it the counter runs over all barcodes, so that the number alone
        # tells volumes apart; the finished label is tested as well, whatever it is made of.
        taken = {entry.label for entry in entries}
        drafted = {_without_barcode(entry) for entry in entries}
        free = _first_free(drafts, lambda draft: draft in drafted or finish(draft) in taken)
        if free is None:
            raise LabelError("Can't label unlabeled volume: All labels used")
        label = finish(free)
    if not label:
        raise LabelError("Generated label is empty")
    check_label(label)
    return label


def _is_claim(entry: TapelistEntry, owner: tuple[str, str, str | None]) -> bool:
    """The entry is of a label that was being written [config 4.4], in a slot of ours.

    :param owner: configuration, storage and barcode.
    """
    if (entry.datestamp, entry.reuse) != ("1", False):
        return False
    return (entry.config, entry.storage, entry.barcode) == owner


def make_fitting_label(scheme: LabelScheme, known: Iterable[TapelistEntry]) -> str:
    """A label that :func:`make_label` makes, and :func:`match_labelstr` takes for one of ours.

    Raises :class:`LabelError`; :class:`LabelUnfit` when the two do not agree.
    """
    labelstr, autolabel = scheme.labelstr, scheme.autolabel
    label = make_label(
        autolabel.template,
        known,
        config=scheme.config,
        org=scheme.org,
        storage=scheme.storage or "",
        barcode=scheme.barcode,
        meta=scheme.meta,
        slot=scheme.slot,
        stays=scheme.stays,
    )
    if not match_labelstr(scheme, label):
        raise LabelUnfit(
            f"the new label '{label}', made by autolabel '{autolabel.template}', "
            f"does not match labelstr {_told(labelstr)}"
        )
    return label


def _told(labelstr: LabelStr) -> str:
    return "MATCH-AUTOLABEL" if labelstr.match_autolabel else f"'{labelstr.template}'"


def check_fitting_label(scheme: LabelScheme, label: str) -> None:
    """Refuse a label that somebody has thought of, unless it is one of this storage's.

    Raises :class:`LabelError`; :class:`LabelUnfit` when ``labelstr`` does not match it.
    """
    check_label(label)
    if not match_labelstr(scheme, label):
        raise LabelUnfit(f"the label '{label}' does not match labelstr {_told(scheme.labelstr)}")


def slot_of_label(
    template: str, label: str, *, config: str, org: str, storage: str, meta: str | None
) -> int | None:
    """The slot whose label :func:`make_label` says ``label`` is, None if it is that of no slot.

    Raises :class:`LabelError` for a template that does not tell slots apart.
    """
    text, width = _substitute(template, {"o": org, "c": config, "m": meta or "", "r": storage})
    if _SLOT not in text:
        raise LabelError("No '$s' in autolabel template")
    fixed = text.replace(_BARCODE, "").split(_SLOT)
    size, rest = divmod(len(label) - sum(map(len, fixed)), len(fixed) - 1)
    number = label[len(fixed[0]) : len(fixed[0]) + size]
    if rest or not 0 < size < 19 or not (number.isascii() and number.isdigit()):
        return None
    if number.join(fixed) != label or str(int(number)).rjust(width, "0") != number:
        return None
    return int(number)


def make_meta_label(
    template: str | None, known: Iterable[TapelistEntry], *, config: str, org: str
) -> str | None:
    """A meta label that no entry of ``known`` has; None when the template is not set.

    Raises :class:`LabelError`.
    """
    if not template:
        return None
    text = _META_SIGN.sub(lambda match: {"$": "$", "o": org, "c": config}[match[1]], template)
    drafts = _counted(text, "meta-label")
    if drafts is None:
        raise LabelError("Can't generate meta-label: no '%' or '!' in meta-autolabel")
    taken = {entry.meta for entry in known}
    meta = _first_free(drafts, taken.__contains__)
    if meta is None:
        raise LabelError("Can't label unlabeled meta volume: All meta labels used")
    check_label(meta)
    return meta


def check_label(label: str) -> None:
    """Refuse a label that tapelist, log or file names could not hold.

    Raises :class:`LabelError` for one that is empty, too long, or holds a blank, a control
    character or a slash.
    """
    size = len(label.encode("utf-8", "surrogateescape"))
    if not label:
        raise LabelError("label is empty, expected at least one character")
    if size > MAX_LABEL:
        raise LabelError(f"label {label[:40]!r}... has {size} bytes, over {MAX_LABEL}")
    if bad := next((char for char in label if char <= " " or char in "/\x7f"), None):
        raise LabelError(f"label {label!r} holds {bad!r}, which no label may")


def _substitute(template: str, values: dict[str, str]) -> tuple[str, int]:
    """The template with all but barcode and slot filled in, and the width of the slot.

    The first slot placeholder sets the width of all; an unknown ``$x`` stays.
    """
    width = 1
    for match in _SLOT_SIGN.finditer(template):
        if match[1] != "$":
            width = max(_width(template, match.start(1))[0], 1)
            break

    def value(match: re.Match[str]) -> str:
        key = match[1]
        if key == "$":
            return "$"
        if key == "b":
            return _BARCODE
        return values.get(key, _SLOT)

    return _SIGN.sub(value, template), width


def _counted(text: str, what: str) -> Iterator[str] | None:
    """All texts that the counter in ``text`` gives, in order; None when it has no counter.

    A counter is *one* run of ``%`` or of ``!``.
    """
    digits, letters = _only_run(text, "%"), _only_run(text, "!")
    if digits and letters:
        raise LabelError(f"Can't generate {what}: '%' and '!' in {_SETTING[what]}")
    if digits:
        head, tail = text.split(digits)
        width = len(digits)
        return (f"{head}{number:0{width}d}{tail}" for number in range(1, 10**width))
    if letters:
        head, tail = text.split(letters)
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
        runs = itertools.product(alphabet, repeat=len(letters))
        return (f"{head}{''.join(run)}{tail}" for run in runs)
    return None


_SETTING = {"label": "autolabel", "meta-label": "meta-autolabel"}


def _only_run(text: str, char: str) -> str:
    """The run of ``char``, if there is exactly one, else nothing."""
    runs = _RUNS[char].findall(text)
    return runs[0] if len(runs) == 1 else ""


def _first_free(drafts: Iterator[str], is_taken: Callable[[str], bool]) -> str | None:
    return next((draft for draft in drafts if not is_taken(draft)), None)


def _without_barcode(entry: TapelistEntry) -> str:
    return entry.label.replace(entry.barcode, _BARCODE) if entry.barcode else entry.label
