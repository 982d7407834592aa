"""Whole configurations of every kind of changer: they load, and give what stock reads."""

from typing import Any

import pytest

from protocols.conf import AutoLabel, Config, LabelStr, load

COMMON = """\
org "CONFREF"
dumpuser "backup"
send-amreport-on never
infofile "/etc/amanda/CONFREF/curinfo"
logdir "/etc/amanda/CONFREF/log"
indexdir "/etc/amanda/CONFREF/index"
dumpcycle 1 weeks
runspercycle 5
define dumptype tt {
  auth "local"
  program "GNUTAR"
  compress none
  index no
}
holdingdisk hd1 {
  directory "/srv/amanda/holding"
  use 100 mbytes
}
"""
DISK = """\
includefile "common.inc"
tapecycle 4
runtapes 2
tpchanger "chg-disk:/srv/amanda/vtapes"
tapetype VTAPE
labelstr "^Daily-[0-9][0-9]$"
autolabel "Daily-%%" EMPTY VOLUME-ERROR
define tapetype VTAPE {
  length 100 mbytes
  part-size 1 mbyte
}
"""
DISKFLAT = """\
includefile "common.inc"
define tapetype FLAT {
  length 50 mbytes
  part-size 10 mbytes
  blocksize 256 kbytes
}
define changer flat {
  tpchanger "chg-diskflat:/srv/amanda/flat"
  property "num-slot" "6"
  property "auto-create-slot" "yes"
}
define policy keep3 {
  retention-tapes 3
}
define storage flatstore {
  tpchanger "flat"
  tapetype "FLAT"
  policy "keep3"
  tapepool "$c-$r"
  runtapes 2
  autolabel "$r-$3s" any
  labelstr MATCH-AUTOLABEL
  taperscan "lexical"
}
storage "flatstore"
"""
RAIT = """\
includefile "common.inc"
define tapetype RAITTYPE {
  length 100 mbytes
  blocksize 64 kbytes
  part-size 10 mbytes
}
define changer raid {
  tpchanger "chg-rait:{chg-disk:/srv/amanda/r0,chg-disk:/srv/amanda/r1,chg-disk:/srv/amanda/r2}"
}
define storage parity {
  tpchanger "raid"
  tapetype "RAITTYPE"
  labelstr "^RAIT-[0-9][0-9][0-9]$"
  autolabel "RAIT-%%%" EMPTY VOLUME-ERROR
}
storage parity
"""
MULTI = """\
includefile "common.inc"
define tapetype DISKTYPE {
  length 100 mbytes
}
define device d1 {
  tapedev "file:/srv/amanda/d1"
  device-property "MAX-VOLUME-USAGE" "40m"
}
define device d2 {
  "d1"
  tapedev "file:/srv/amanda/d2"
}
define changer disks {
  tpchanger "chg-multi:{d1,d2,file:/srv/amanda/d3}"
  changerfile "chg-multi-state"
  property "first-slot" "10"
  device-property "LEOM" "true"
}
tpchanger "disks"
tapetype DISKTYPE
tapecycle 3
labelstr MATCH-AUTOLABEL
autolabel "$c-%%%" EMPTY
"""
ROBOT = """\
includefile "common.inc"
define tapetype LTO4 {
  length 800 gbytes
  blocksize 512 kbytes
  part-size 50 gbytes
  part-cache-type memory
  part-cache-max-size 1 gbyte
}
define changer library {
  tpchanger "chg-robot:/dev/sg3"
  changerfile "robot-state"
  property "tape-device" "0=tape:/dev/nst0" "1=tape:/dev/nst1"
  property "use-slots" "1-5"
  property "eject-before-unload" "yes"
  property "load-poll" "0s poll 1s until 1m"
}
define storage tapes {
  tpchanger "library"
  tapetype "LTO4"
  labelstr MATCH-AUTOLABEL
  autolabel "$b" EMPTY VOLUME-ERROR
  runtapes 2
  taperscan "oldest"
  eject-volume yes
  device-output-buffer-size 64 mbytes
}
storage "tapes"
"""
NDMP = """\
includefile "common.inc"
define tapetype NDMPTAPE {
  length 100 mbytes
  blocksize 64 kbytes
  part-size 20 mbytes
}
define changer filer {
  tpchanger "chg-ndmp:127.0.0.1:10777@/srv/amanda/ndmj"
  changerfile "ndmp-state"
  property "tape-device" "0=ndmp:127.0.0.1:10777@/srv/amanda/ndmj/drive0"
  property append "tape-device" "1=ndmp:127.0.0.1:10777@/srv/amanda/ndmj/drive1"
  property "ndmp-auth" "md5"
  device-property "indirect" "no"
}
define storage filertapes {
  tpchanger "filer"
  tapetype "NDMPTAPE"
  labelstr "^NDMP-[0-9][0-9]$"
  autolabel "NDMP-%%" any
}
storage "filertapes"
"""
S3 = """\
includefile "common.inc"
define tapetype S3TYPE {
  length 1 gbytes
  blocksize 10 mbytes
  part-size 1 gbytes
}
define changer cloud {
  tpchanger "chg-multi:s3:confref-bucket/slot-{01,02,03}"
  changerfile "s3-state"
  device-property "S3_ACCESS_KEY" "AKIAEXAMPLE"
  device-property "S3_SECRET_KEY" "secretexample"
  device-property "S3_HOST" "127.0.0.1:15778"
  device-property "S3_SSL" "no"
}
define storage s3store {
  tpchanger "cloud"
  tapetype "S3TYPE"
  labelstr "^S3-[0-9]*$"
  autolabel "S3-%%" any
}
storage "s3store"
"""
TWO_STORAGES = """\
includefile "common.inc"
define tapetype NEAR {
  length 100 mbytes
  part-size 20 mbytes
}
define tapetype OFF {
  NEAR
  length 200 mbytes
}
define policy off-policy {
  retention-tapes 6
  retention-days 30
  retention-recover 14
  retention-full 3
}
define storage near {
  tpchanger "chg-disk:/srv/amanda/near"
  tapetype "NEAR"
  policy {
    retention-tapes 6
  }
  tapepool "near"
  labelstr MATCH-AUTOLABEL
  autolabel "NEAR-%%%" any
  runtapes 2
  vault "off" 0
}
define storage off {
  tpchanger "chg-disk:/srv/amanda/off"
  tapetype "OFF"
  policy "off-policy"
  tapepool "$c-$r"
  labelstr MATCH-AUTOLABEL
  autolabel "OFF-%%%" any
  taperscan "lexical"
  dump-selection ALL FULL
  set-no-reuse yes
  erase-on-failure yes
}
storage "near"
vault-storage "off"
"""

EXAMPLES = {
    "disk": DISK,
    "diskflat": DISKFLAT,
    "rait": RAIT,
    "multi": MULTI,
    "robot": ROBOT,
    "ndmp": NDMP,
    "s3": S3,
    "two storages": TWO_STORAGES,
}


def files(text: str) -> dict[str, bytes]:
    """The files of an example, the configuration being called CONFREF."""
    directory = "/etc/amanda/CONFREF"
    return {f"{directory}/amanda.conf": text.encode(), f"{directory}/common.inc": COMMON.encode()}


def configure(text: str) -> Config:
    loaded = load("CONFREF", files(text).get, amanda_version=lambda: (3, 5, 1))
    assert loaded.messages == ()
    return loaded.config


EXPECTED: list[tuple[str, dict[str, Any]]] = [
    (
        "disk",
        {
            "name": "CONFREF",
            "comment": "implicit from global config",
            "tpchanger": "chg-disk:/srv/amanda/vtapes",
            "labelstr": LabelStr("^Daily-[0-9][0-9]$"),
            "autolabel": AutoLabel("Daily-%%", empty=True, volume_error=True),
            "tapepool": "CONFREF",
            "policy": "CONFREF",
            "tapetype": "VTAPE",
            "taperscan": "",
            "runtapes": 2,
        },
    ),
    (
        "diskflat",
        {
            "name": "flatstore",
            "tpchanger": "flat",
            "labelstr": LabelStr("$r-$3s", True),
            "tapepool": "CONFREF-flatstore",
            "policy": "keep3",
            "taperscan": "lexical",
            "device_output_buffer_size": 1310720,
        },
    ),
    ("rait", {"name": "parity", "tpchanger": "raid", "policy": "CONFREF", "tapepool": "CONFREF"}),
    ("multi", {"tpchanger": "disks", "labelstr": LabelStr("$c-%%%", True)}),
    (
        "robot",
        {
            "name": "tapes",
            "labelstr": LabelStr("$b", True),
            "runtapes": 2,
            "eject_volume": True,
            "device_output_buffer_size": 64 * 2**20,
        },
    ),
    ("ndmp", {"name": "filertapes", "autolabel": AutoLabel("NDMP-%%", True, True, True, True)}),
    ("s3", {"name": "s3store", "tpchanger": "cloud"}),
    (
        "two storages",
        {
            "name": "near",
            "policy": "custom(po).1",
            "tapepool": "near",
            "vault": (("off", 0),),
            "set_no_reuse": False,
        },
    ),
]


@pytest.mark.parametrize(("example", "expected"), EXPECTED)
def test_the_default_storage_of_an_example(example: str, expected: dict[str, Any]) -> None:
    config = configure(EXAMPLES[example])
    storage = config.storage(config.default_storage_name())
    assert {name: getattr(storage, name) for name in expected} == expected


def test_global_parameters_of_included_files_count() -> None:
    config = configure(DISK)
    assert (config.general.org, config.general.dumpcycle, config.general.tapecycle) == (
        "CONFREF",
        7,
        4,
    )
    assert config.general.holdingdisk == ("hd1",)
    disk = config.holdingdisk("HD1")
    assert disk is not None
    assert (disk.directory, disk.use) == ("/srv/amanda/holding", 100 * 1024)
    assert config.path(config.general.tapelist) == "/etc/amanda/CONFREF/tapelist"
    assert config.path(config.general.logdir) == "/etc/amanda/CONFREF/log"


def test_sizes_of_a_tapetype_are_in_kib() -> None:
    tapetype = configure(ROBOT).tapetype("lto4")
    assert tapetype is not None
    assert tapetype.length == 800 * 2**20
    assert tapetype.part_size == 50 * 2**20
    assert (tapetype.part_cache_type, tapetype.part_cache_max_size) == ("memory", 2**20)
    assert (tapetype.blocksize, tapetype.readblocksize) == (512, 512)
    assert tapetype.is_set("blocksize")
    assert not tapetype.is_set("readblocksize")


def test_properties_of_changers_and_devices() -> None:
    changer = configure(NDMP).changer("FILER")
    assert changer is not None
    assert dict(changer.property) == {
        "tape-device": (
            "0=ndmp:127.0.0.1:10777@/srv/amanda/ndmj/drive0",
            "1=ndmp:127.0.0.1:10777@/srv/amanda/ndmj/drive1",
        ),
        "ndmp-auth": ("md5",),
    }
    device = configure(MULTI).device("d2")
    assert device is not None
    assert device.tapedev == "file:/srv/amanda/d2"
    assert dict(device.device_property) == {"max-volume-usage": ("40m",)}
    changer = configure(S3).changer("cloud")
    assert changer is not None
    assert changer.device_property["s3-secret-key"] == ("secretexample",)


def test_policies_of_two_storages() -> None:
    config = configure(TWO_STORAGES)
    assert [storage.name for storage in config.storages()] == ["near", "off"]
    assert [policy.name for policy in config.policies()] == [
        "off-policy",
        "custom(po).1",
        "CONFREF",
    ]
    policy = config.policy("Off-Policy")
    assert policy is not None
    assert (
        policy.retention_tapes,
        policy.retention_days,
        policy.retention_recover,
        policy.retention_full,
    ) == (6, 30, 14, 3)
    implicit = config.policy("CONFREF")
    assert implicit is not None
    assert implicit.retention_tapes == 14
    off = config.storage("off")
    assert off is not None
    assert off.dump_selection == (("all", "", "full"),)
    assert off.labelstr == LabelStr("OFF-%%%", True)
    assert (off.tapepool, off.set_no_reuse, off.erase_on_failure) == ("CONFREF-off", True, True)
    assert config.general.active_storage == ("near",)
    assert config.general.vault_storage == ("off",)
