"""The global parameters of amanda.conf [config 2.1, 2.2]."""

from protocols.conf.sections import Settings
from protocols.conf.values import NO_PROPERTIES, AutoLabel, LabelStr, Properties
from protocols.installation import DEBIAN, Installation


class GlobalSettings(Settings):
    """Every parameter outside a section, ``-`` written as ``_``, defaults as Debian builds them.

    File parameters are as written: ``Config.path`` makes them absolute. Times are in seconds,
    ``device_output_buffer_size`` in bytes, ``bumpsize`` and ``maxdumpsize`` in KiB. ``tapetype``,
    ``storage`` and ``labelstr`` have been derived [config 1.10].
    """

    org: str = "DailySet1"
    dumpuser: str = DEBIAN.client_login
    mailer: str = DEBIAN.mailer
    mailto: str = ""
    printer: str = ""
    tapelist: str = "tapelist"
    diskfile: str = "disklist"
    command_file: str = "command_file"
    logdir: str = DEBIAN.logdir
    infofile: str = f"{DEBIAN.logdir}/curinfo"
    indexdir: str = f"{DEBIAN.logdir}/index"
    tmpdir: str = DEBIAN.amanda_tmpdir
    tapetype: str = "DEFAULT_TAPE"
    tapecycle: int = 15
    dumpcycle: int = 10
    runspercycle: int = 0
    runtapes: int = 1
    tapedev: str = ""
    tpchanger: str = ""
    changerdev: str = ""
    changerfile: str = "changer"
    device_property: Properties = NO_PROPERTIES
    property: Properties = NO_PROPERTIES
    labelstr: LabelStr = LabelStr()
    autolabel: AutoLabel = AutoLabel()
    meta_autolabel: str = ""
    label_new_tapes: str = ""
    storage: tuple[str, ...] = ()
    active_storage: tuple[str, ...] = ()
    vault_storage: tuple[str, ...] = ()
    taperscan: str = ""
    interactivity: str = ""
    device_output_buffer_size: int = 1310720
    eject_volume: bool = False
    max_dle_by_volume: int = 1000000000
    taperalgo: str = "first"
    taper_parallel_write: int = 1
    autoflush: str = "no"
    flush_threshold_dumped: int = 0
    flush_threshold_scheduled: int = 0
    taperflush: int = 0
    report_use_media: bool = True
    report_next_media: bool = True
    report_format: tuple[str, ...] = ()
    send_amreport_on: str = "all"
    columnspec: str = ""
    displayunit: str = "K"
    dtimeout: int = 1800
    etimeout: int = 300
    ctimeout: int = 30
    connect_tries: int = 3
    rep_tries: int = 5
    req_tries: int = 3
    netusage: int = 80000
    inparallel: int = 10
    dumporder: str = "ttt"
    maxdumps: int = 1
    maxdumpsize: int = -1
    bumpdays: int = 2
    bumppercent: int = 0
    bumpsize: int = 10240
    bumpmult: float = 1.5
    reserve: int = 100
    holdingdisk: tuple[str, ...] = ()
    recovery_limit: tuple[str, ...] = ()
    usetimestamps: bool = True
    compress_index: bool = True
    sort_index: bool = False
    amrecover_changer: str = ""
    amrecover_do_fsf: bool = True
    amrecover_check_label: bool = True
    krb5keytab: str = "/.amanda-v5-keytab"
    krb5principal: str = "service/amanda"
    rest_api_port: int = 0
    rest_ssl_cert: str = ""
    rest_ssl_key: str = ""
    ssl_dir: str = f"{DEBIAN.config_dir}/ssl"
    reserved_udp_port: tuple[int, int] = (840, 860)
    reserved_tcp_port: tuple[int, int] = (512, 1023)
    unreserved_tcp_port: tuple[int, int] = (50000, 50100)
    debug_days: int = 4
    debug_amandad: int = 0
    debug_amidxtaped: int = 0
    debug_amindexd: int = 0
    debug_amrecover: int = 0
    debug_auth: int = 0
    debug_chunker: int = 0
    debug_driver: int = 0
    debug_dumper: int = 0
    debug_event: int = 0
    debug_holding: int = 0
    debug_planner: int = 0
    debug_protocol: int = 0
    debug_recovery: int = 1
    debug_selfcheck: int = 0
    debug_sendbackup: int = 0
    debug_sendsize: int = 0
    debug_taper: int = 0


def defaults_of(installation: Installation) -> dict[str, str]:
    """Parameters whose defaults depend on how Amanda was built, when it was not as for Debian."""
    if installation == DEBIAN:
        return {}
    return {
        "dumpuser": installation.client_login,
        "mailer": installation.mailer,
        "logdir": installation.logdir,
        "infofile": f"{installation.logdir}/curinfo",
        "indexdir": f"{installation.logdir}/index",
        "tmpdir": installation.amanda_tmpdir,
        "ssl_dir": f"{installation.config_dir}/ssl",
    }
