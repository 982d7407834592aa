"""The sections of amanda.conf as typed, frozen values.

Each class has an attribute for every parameter its ``define`` block accepts (``-`` written as
``_``); the class attribute is Amanda's default [config 2.3 to 2.6]. Sizes are in the
parameter's own unit: KiB where the reference says "unit K", bytes otherwise.

The classes are not attrs classes: building a dozen of them with up to 110 attributes each would
cost more of the program's start than reading the configuration does.
"""

from collections.abc import Iterable
from typing import ClassVar, NoReturn

from protocols.conf.values import (
    NO_PROPERTIES,
    NO_SELECTION,
    AutoLabel,
    LabelStr,
    Properties,
    Selection,
)


class Settings:
    """A named group of parameters that cannot be changed.

    ``Storage("near", runtapes=2)`` makes one with the other parameters at their defaults and
    ``runtapes`` counting as set; ``given`` names the set ones where that is not so.

    :ivar place: the file and line of its definition, ``PATH:LINE``, "" where it has none.
    """

    PARAMETERS: ClassVar[tuple[str, ...]] = ()
    name: str
    place: str

    def __init_subclass__(cls) -> None:
        cls.PARAMETERS = (*cls.PARAMETERS, *cls.__annotations__)

    def __init__(
        self, name: str, /, *, given: Iterable[str] | None = None, place: str = "", **values: object
    ) -> None:
        """Raises TypeError for a parameter that this kind of section does not have."""
        for parameter in values:
            if parameter not in self.PARAMETERS:
                raise TypeError(f"{type(self).__name__} has no parameter {parameter!r}")
        own = self.__dict__
        own.update(values)
        own["name"] = name
        own["place"] = place
        own["_given"] = frozenset(values if given is None else given)

    @property
    def defined(self) -> str:
        """``, defined in 'FILE', line N``, to follow its name in a text; "" without a place."""
        path, colon, line = self.place.rpartition(":")
        return f", defined in '{path}', line {line}" if colon else ""

    def is_set(self, parameter: str) -> bool:
        """Whether the configuration set this parameter, itself or by inheritance."""
        return parameter.replace("-", "_") in self.__dict__["_given"]

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} {self.name!r} cannot be changed")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} {self.name!r} cannot be changed")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self.name == other.name and all(
            getattr(self, key) == getattr(other, key) for key in self.PARAMETERS
        )

    def __hash__(self) -> int:
        return hash((type(self), self.name))

    def __repr__(self) -> str:
        told = "".join(
            f", {key}={value!r}"
            for key, value in self.__dict__.items()
            if key in self.PARAMETERS and value != getattr(type(self), key)
        )
        return f"{type(self).__name__}({self.name!r}{told})"


class Section(Settings):
    """What one ``define`` block says."""

    comment: str = ""


class Tapetype(Section):
    """``define tapetype``; sizes in KiB [config 2.3]."""

    lbl_templ: str = ""
    blocksize: int = 32
    readblocksize: int = 32
    length: int = 2000
    filemark: int = 1
    speed: int = 200
    part_size: int = 0
    part_cache_type: str = "none"
    part_cache_dir: str = ""
    part_cache_max_size: int = 0


class DeviceSection(Section):
    """``define device``: an alias for a device name, with properties [config 2.4]."""

    tapedev: str = ""
    device_property: Properties = NO_PROPERTIES


class ChangerSection(Section):
    """``define changer`` [config 2.5]."""

    tapedev: str = ""
    tpchanger: str = ""
    changerdev: str = ""
    changerfile: str = ""
    property: Properties = NO_PROPERTIES
    device_property: Properties = NO_PROPERTIES


class Storage(Section):
    """``define storage``, with everything it does not set filled in [config 2.6, 2.7].

    ``labelstr``, ``tapepool`` and ``policy`` are final: the autolabel template stands in for
    MATCH-AUTOLABEL, ``$c``, ``$o`` and ``$r`` of the pool are replaced. ``policy``, ``tapetype``,
    ``taperscan`` and ``interactivity`` are names ("" = none). ``is_set`` also answers yes for
    what the global parameter of the same name set. ``device_output_buffer_size`` in bytes;
    ``vault``: (storage, days) pairs. ``dump_selection``: triples of what is selected ("tag",
    "all" or "other"), the tag ("" if none), and the level ("all", "full" or "incr").
    """

    policy: str = ""
    tapedev: str = ""
    tpchanger: str = ""
    labelstr: LabelStr = LabelStr()
    autolabel: AutoLabel = AutoLabel()
    meta_autolabel: str = ""
    tapepool: str = ""
    tapetype: str = ""
    taperscan: str = ""
    interactivity: str = ""
    device_output_buffer_size: int = 1310720
    eject_volume: bool = False
    erase_volume: bool = False
    set_no_reuse: bool = False
    erase_on_failure: bool = False
    erase_on_full: bool = False
    runtapes: int = 1
    max_dle_by_volume: int = 1000000000
    taperalgo: str = "first"
    taper_parallel_write: int = 1
    flush_threshold_dumped: int = 0
    flush_threshold_scheduled: int = 0
    taperflush: int = 0
    autoflush: str = "no"
    dump_selection: tuple[tuple[str, str, str], ...] = ()
    vault: tuple[tuple[str, int], ...] = ()
    report_use_media: bool = True
    report_next_media: bool = True


class Policy(Section):
    """``define policy``: 0 = the rule is off; ``retention_tapes`` is filled in from tapecycle."""

    retention_tapes: int = 0
    retention_days: int = 0
    retention_recover: int = 0
    retention_full: int = 0


class Taperscan(Section):
    """``define taperscan``: a scan algorithm (``plugin``) with properties."""

    plugin: str = ""
    property: Properties = NO_PROPERTIES


class Interactivity(Section):
    """``define interactivity``: how to ask a person for a volume."""

    plugin: str = ""
    property: Properties = NO_PROPERTIES


class Holdingdisk(Section):
    """``define holdingdisk``; ``use`` and ``chunksize`` in KiB, multiples of 32."""

    directory: str = ""
    use: int = 0
    chunksize: int = 1048576


class Interface(Section):
    """``define interface``; ``use`` in kbps."""

    use: int = 80000
    src_ip: str = "NULL"


class Application(Section):
    """``define application``."""

    plugin: str = ""
    property: Properties = NO_PROPERTIES
    client_name: str = ""


class Script(Section):
    """``define script``."""

    plugin: str = ""
    property: Properties = NO_PROPERTIES
    client_name: str = ""
    execute_on: tuple[str, ...] = ()
    execute_where: str = "client"
    order: int = 5000
    single_execution: bool = False


class Dumptype(Section):
    """``define dumptype``; sizes in KiB [config 2.6]."""

    auth: str = "BSDTCP"
    program: str = "DUMP"
    application: str = ""
    script: tuple[str, ...] = ()
    property: Properties = NO_PROPERTIES
    amandad_path: str = ""
    client_username: str = ""
    client_port: str = ""
    ssh_keys: str = ""
    server_custom_compress: str = ""
    client_custom_compress: str = ""
    server_encrypt: str = ""
    client_encrypt: str = ""
    server_decrypt_option: str = "-d"
    client_decrypt_option: str = "-d"
    ssl_fingerprint_file: str = ""
    ssl_cert_file: str = ""
    ssl_key_file: str = ""
    ssl_ca_cert_file: str = ""
    ssl_cipher_list: str = ""
    ssl_check_host: bool = True
    ssl_check_certificate_host: bool = True
    ssl_check_fingerprint: bool = True
    compress: str = "client fast"
    encrypt: str = "none"
    comprate: tuple[float, float] = (0.5, 0.5)
    estimate: tuple[str, ...] = ("client",)
    strategy: str = "standard"
    priority: str = "medium"
    holdingdisk: str = "auto"
    data_path: str = "amanda"
    exclude: Selection = NO_SELECTION
    include: Selection = NO_SELECTION
    dumpcycle: int = 10
    bumpdays: int = 2
    bumppercent: int = 0
    bumpsize: int = 10240
    bumpmult: float = 1.5
    maxdumps: int = 1
    maxpromoteday: int = 10000
    max_warnings: int = 20
    retry_dump: int = 2
    starttime: int = -1
    ignore: bool = False
    index: bool = True
    kencrypt: bool = False
    record: bool = True
    skip_full: bool = False
    skip_incr: bool = False
    allow_split: bool = True
    tape_splitsize: int = 0
    fallback_splitsize: int = 10240
    split_diskbuffer: str = ""
    recovery_limit: tuple[str, ...] = ()
    dump_limit: tuple[str, ...] = ("SERVER",)
    tag: tuple[str, ...] = ()
