"""What a storage gets from the global parameters ([config 1.10] step 10, 2.6)."""

import re

from protocols.conf.draft import Draft, Drafts
from protocols.conf.grammar import GLOBAL, SECTIONS
from protocols.conf.settings import GlobalSettings
from protocols.conf.values import AutoLabel, LabelStr

NO_AUTOLABEL = "parse error: AUTOLABEL not set and LABELSTR set to MATCH-AUTOLABEL"

_PLAIN = re.compile(
    r"\^?(?:[A-Za-z0-9_%!-]|\$(?:[bms]|[0-9]s)|(?:\.|\[(?:0-9|A-Z|a-z)+\])[*+]?)*\$?"
)
_SCANS = ("", "traditional", "oldest", "lexical")
_SHARED = tuple(keyword for keyword in SECTIONS["storage"] if keyword in GLOBAL)


def finish_storage(storage: Draft, drafts: Drafts, general: GlobalSettings, config: str) -> None:
    """Fill in and check one storage; contradictions become messages."""
    _check_labels(storage, drafts, general)
    _check_names(storage, drafts)
    pool = storage.values.get("tapepool")
    if pool is None:
        storage.derived["tapepool"] = config
    else:
        for sign, value in (("$o", general.org), ("$c", config), ("$r", storage.name)):
            pool = pool.replace(sign, value, 1)
        storage.derived["tapepool"] = pool
    if "policy" not in storage.values:
        storage.derived["policy"] = config
    for keyword in _SHARED:
        if keyword in storage.values:
            continue
        attribute = keyword.replace("-", "_")
        value = getattr(general, attribute)
        if general.is_set(attribute):
            storage.values[keyword] = value
        storage.derived[keyword] = value
    _finish_labelstr(storage)
    _check_expression(storage, drafts, general, config)


def _final(storage: Draft, keyword: str) -> object:
    return storage.derived.get(keyword, storage.values.get(keyword))


def _finish_labelstr(storage: Draft) -> None:
    labelstr, autolabel = _final(storage, "labelstr"), _final(storage, "autolabel")
    if isinstance(labelstr, LabelStr) and labelstr.match_autolabel:
        template = autolabel.template if isinstance(autolabel, AutoLabel) else None
        storage.derived["labelstr"] = LabelStr(template or "", match_autolabel=True)


def _check_labels(storage: Draft, drafts: Drafts, general: GlobalSettings) -> None:
    """What the storage itself says about labels."""
    autolabel = storage.values.get("autolabel")
    labelstr = storage.values.get("labelstr")
    if labelstr is not None and labelstr.match_autolabel and autolabel is None:
        drafts.error(NO_AUTOLABEL)
    if not any(char.isspace() for char in general.org):
        return
    templates = {
        "autolabel": autolabel.template if autolabel is not None else None,
        "meta_autolabel": storage.values.get("meta-autolabel"),
    }
    for keyword, template in templates.items():
        if template and "$o" in template:
            drafts.error(f"parse error: ORG must not contains space if '$0' is in {keyword}")


def _check_names(storage: Draft, drafts: Drafts) -> None:
    """Warn of names that stock takes without a look, and then cannot use."""
    where = f"warning: storage '{storage.name}':"
    tapetype = storage.values.get("tapetype", "")
    if tapetype and drafts.find("tapetype", tapetype) is None:
        drafts.warning(f"{where} tapetype '{tapetype}' is not defined, so the global one is used")
    scan = storage.values.get("taperscan", "")
    if scan not in _SCANS and drafts.find("taperscan", scan) is None:
        drafts.warning(f"{where} taperscan '{scan}' is neither a section nor a known scan")
    for name, _days in storage.values.get("vault", ()):
        if drafts.find("storage", name) is None:
            drafts.warning(f"{where} vault names the storage '{name}', which is not defined")


def _is_plain(template: str, org: str, config: str, storage: str) -> bool:
    """Whether a template is made only of what is surely a regular expression."""
    for sign, value in (("$o", org), ("$c", config), ("$r", storage)):
        template = template.replace(sign, value)
    return _PLAIN.fullmatch(template) is not None


def _check_expression(storage: Draft, drafts: Drafts, general: GlobalSettings, config: str) -> None:
    """Refuse a labelstr that is no regular expression: stock dies of it at its first scan."""
    labelstr, autolabel = _final(storage, "labelstr"), _final(storage, "autolabel")
    if not isinstance(labelstr, LabelStr) or not isinstance(autolabel, AutoLabel):
        return
    if _is_plain(labelstr.template, general.org, config, storage.name):
        return
    # Costs more than all the reading, and is hardly ever needed.
    from protocols.labels import LabelError, LabelScheme, match_labelstr

    scheme = LabelScheme(
        config=config,
        org=general.org,
        storage=storage.name,
        labelstr=labelstr,
        autolabel=autolabel,
    )
    try:
        match_labelstr(scheme, "")
    except LabelError as error:
        drafts.error(f"parse error: labelstr of storage '{storage.name}': {error.text}")
