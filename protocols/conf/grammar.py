"""Which parameters there are, and how each is written: tables only [config 2].

A table maps a keyword (lower case, ``-``) to ``(type, check)``. The types are the keys of
``readers.READERS``, the checks those of ``checks.CHECKS``.
"""

Param = tuple[str, str]
Table = dict[str, Param]


def _table(text: str) -> Table:
    """Lines of a type, an optional check after a ``/``, a colon and keywords."""
    table: Table = {}
    for line in text.strip().splitlines():
        kind, _, names = line.partition(":")
        type_, _, check = kind.strip().partition("/")
        table.update((name, (type_, check)) for name in names.split())
    return table


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


GLOBAL = _table(
    """
    str: org dumpuser mailer mailto printer tapelist diskfile command-file logdir infofile
    str: indexdir tapedev changerdev krb5keytab krb5principal dumporder
    str: label-new-tapes amrecover-changer rest-ssl-cert rest-ssl-key ssl-dir
    str/changerfile: changerfile
    str/columnspec: columnspec
    str/displayunit: displayunit
    str/tmpdir: tmpdir
    str/label: meta-autolabel
    ident: tapetype
    name: tpchanger
    idlist: storage vault-storage active-storage
    strlist: report-format
    prop: property device-property
    labelstr: labelstr
    autolabel: autolabel
    taperscan: taperscan
    interactivity: interactivity
    holdingdisk: holdingdisk
    int/positive: tapecycle dtimeout ctimeout inparallel maxdumps connect-tries rep-tries
    int/positive: req-tries rest-api-port max-dle-by-volume
    int/nonnegative: runtapes dumpcycle bumpdays flush-threshold-dumped
    int/nonnegative: flush-threshold-scheduled taperflush
    int/nonzero: etimeout
    int/percent: bumppercent reserve
    int/runspercycle: runspercycle
    int: taper-parallel-write debug-days
    int/debug: debug-amandad debug-amidxtaped debug-amindexd debug-amrecover debug-auth
    int/debug: debug-chunker debug-driver debug-dumper debug-event debug-holding debug-planner
    int/debug: debug-protocol debug-recovery debug-selfcheck debug-sendbackup debug-sendsize
    int/debug: debug-taper
    intk/positive: netusage
    int64k/positive: bumpsize
    int64k: maxdumpsize
    size/nonnegative: device-output-buffer-size
    real/bumpmult: bumpmult
    bool: eject-volume report-use-media report-next-media usetimestamps compress-index
    bool: sort-index amrecover-do-fsf amrecover-check-label
    nya: autoflush
    range/reserved: reserved-udp-port reserved-tcp-port
    range/unreserved: unreserved-tcp-port
    algo: taperalgo
    mailon: send-amreport-on
    hostlim: recovery-limit
    """
)

_TAPETYPE = _table(
    """
    str: comment lbl-templ part-cache-dir
    sizek/blocksize: blocksize readblocksize
    int64k/nonnegative: length part-size part-cache-max-size
    int64k: filemark
    int: speed
    cache: part-cache-type
    """
)
_STORAGE = _table(
    """
    str: comment tapedev
    name: tpchanger tapetype taperscan
    policy: policy
    labelstr: labelstr
    autolabel: autolabel
    str/label: meta-autolabel tapepool
    interactivity: interactivity
    size/nonnegative: device-output-buffer-size
    bool: eject-volume erase-volume set-no-reuse erase-on-failure erase-on-full
    bool: report-use-media report-next-media
    int: runtapes taper-parallel-write max-dle-by-volume
    int/nonnegative: flush-threshold-dumped flush-threshold-scheduled taperflush
    algo: taperalgo
    nya: autoflush
    dumpsel: dump-selection
    vault: vault
    """
)
_DUMPTYPE = _table(
    """
    str: comment auth amandad-path client-username ssh-keys split-diskbuffer
    str: server-custom-compress client-custom-compress server-encrypt client-encrypt
    str: server-decrypt-option client-decrypt-option ssl-fingerprint-file ssl-cert-file
    str: ssl-key-file ssl-ca-cert-file ssl-cipher-list
    str/program: program
    intstr: client-port
    int/nonnegative: bumpdays dumpcycle maxpromoteday max-warnings
    int/positive: maxdumps retry-dump
    int/percent: bumppercent
    real/bumpmult: bumpmult
    int64k/positive: bumpsize
    int64k/nonnegative: tape-splitsize
    int64k: fallback-splitsize
    rate/rate: comprate
    compress: compress
    encrypt: encrypt
    estimate: estimate
    strategy: strategy
    prio: priority
    hold: holdingdisk
    dpath: data-path
    bool: ignore index kencrypt record skip-full skip-incr allow-split ssl-check-host
    bool: ssl-check-certificate-host ssl-check-fingerprint
    exinc: exclude include
    time: starttime
    application: application
    scripts: script
    prop: property
    hostlim: recovery-limit
    hostlim/dumplimit: dump-limit
    strlist: tag
    """
)
_POLICY = _table(
    """
    str: comment
    int: retention-tapes retention-days retention-recover retention-full
    """
)
_HOLDINGDISK = _table(
    """
    str: comment directory
    int64k: use
    int64k/chunksize: chunksize
    """
)
_SCRIPT = _table(
    """
    str: comment plugin client-name
    prop: property
    execon: execute-on
    where: execute-where
    int: order
    bool: single-execution
    """
)
_PLUGIN = _table("str: comment plugin\nprop: property")

SECTIONS: dict[str, Table] = {
    "dumptype": _DUMPTYPE,
    "tapetype": _TAPETYPE,
    "interface": _table("str: comment src-ip\nintk/positive: use"),
    "application": {**_PLUGIN, "client-name": ("str", "")},
    "script": _SCRIPT,
    "device": _table("str: comment tapedev\nprop: device-property"),
    "changer": _table(
        "str: comment tapedev tpchanger changerdev changerfile\nprop: property device-property"
    ),
    "holdingdisk": _HOLDINGDISK,
    "interactivity": _PLUGIN,
    "taperscan": _PLUGIN,
    "policy": _POLICY,
    "storage": _STORAGE,
}
KIND_ALIASES = {"application-tool": "application", "script-tool": "script"}

PARENT_TITLES = {"tapetype": "tape type"}
"""What a kind is called when an inherited section is missing; its keyword otherwise."""
PARAMETER_TITLES = {"holdingdisk": "holding disk"}
"""What a kind is called when a parameter is not one of its own; its keyword otherwise."""

DEPRECATED = frozenset(
    _words(
        "label-new-tapes amrecover-do-fsf amrecover-check-label tape-splitsize split-diskbuffer"
        " fallback-splitsize usetimestamps"
    )
)

_MOMENTS = _words("pre- pre-dle- pre-host- post- post-dle- post-host-")
EXECUTE_ON = (
    *(moment + what for what in ("amcheck", "estimate", "backup") for moment in _MOMENTS),
    *_words("pre-recover post-recover pre-level-recover post-level-recover inter-level-recover"),
)

KEYWORDS = frozenset(
    (
        *GLOBAL,
        *(name for table in SECTIONS.values() for name in table),
        *SECTIONS,
        *KIND_ALIASES,
        *EXECUTE_ON,
        *_words(
            "define includefile all amanda any append auto best calcsize client custom"
            " directtcp disk empty error exclude-file exclude-list fast file first firstfit full"
            " hanoi hidden high incr incronly largest largestfit last list low"
            " match-autolabel medium memory never nofull noinc non-amanda none optional other"
            " other-config required same-host server skip smallest standard strange visible"
            " volume-error"
        ),
    )
)
"""Every reserved word: it cannot be an inherited section's name without quotes."""

UNITS: dict[str, int] = {
    **dict.fromkeys(_words("b bps byte bytes day days tape tapes"), 1),
    **dict.fromkeys(_words("week weeks"), 7),
    **dict.fromkeys(_words("k kb kbps kbyte kbytes kilobyte kilobytes kps"), 2**10),
    **dict.fromkeys(_words("m mb mbps mbyte mbytes meg megabyte megabytes mps"), 2**20),
    **dict.fromkeys(_words("g gb gbps gbyte gbytes gig gigabyte gigabytes"), 2**30),
    **dict.fromkeys(_words("t tb tbps tbyte tbytes tera terabyte terabytes"), 2**40),
}
"""Factor of each unit word, in every integer parameter [config 1.7]."""

TRUE_WORDS = frozenset(_words("y yes t true on"))
FALSE_WORDS = frozenset(_words("n no f false off"))

DUMPTYPE_DEFAULTS = _words("dumpcycle maxdumps bumppercent bumpsize bumpdays bumpmult")
"""What a dumptype takes from the global parameters as they are where it is defined."""

BUILT_IN_DUMPTYPES: dict[str, dict[str, object]] = {
    "NO-COMPRESS": {"compress": "none"},
    "COMPRESS-FAST": {"compress": "client fast"},
    "COMPRESS-BEST": {"compress": "client best"},
    "COMPRESS-CUST": {"compress": "client custom"},
    "SRVCOMPRESS": {"compress": "server fast"},
    "BSD-AUTH": {"auth": "BSD"},
    "BSDTCP-AUTH": {"auth": "BSDTCP"},
    "NO-RECORD": {"record": False},
    "NO-HOLD": {"holdingdisk": "never"},
    "NO-FULL": {"strategy": "nofull"},
}
