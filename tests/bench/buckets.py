"""A volume in a bucket of a local store, whose data are in memory as those of vtapes are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from tests.conformance.harness import VTAPES, Options, Program, World
from tests.fakes.preloaded import why_no_library
from tests.fakes.stock_uploads import made_library
from tests.fakes.weed import REGION, Weed, why_no_weed


@dataclass(frozen=True)
class Bucket:
    """An empty bucket."""

    weed: Weed
    name: str

    def options(self, block: int) -> Options:
        """The configuration for a volume in it.

        :param block: KiB
        """
        properties = self.weed.properties().items()
        return Options(
            slots=0,
            usage_kib=None,
            leom=None,
            changer=f'tpchanger "chg-single:s3:{self.name}/slot-1-"',
            properties="\n".join(f'device-property "{key}" "{text}"' for key, text in properties),
            tapetype=f"length 1 tbytes\n  blocksize {block} kbytes",
        )

    def for_loop(self, block: int) -> dict[str, Any]:
        """What the plain loop needs; it uses boto3 as it is.

        :param block: KiB
        """
        keys = self.weed.admin
        client = {
            "endpoint_url": self.weed.endpoint,
            "aws_access_key_id": keys.access,
            "aws_secret_access_key": keys.secret,
            "region_name": REGION,
        }
        return {"client": client, "name": self.name, "block": block * 1024}


@contextmanager
def bucket(world: World) -> Iterator[Bucket]:
    """A fresh store with a bucket in it, on the file system of the world's vtapes."""
    with Weed(world.path(VTAPES)) as weed:
        yield Bucket(weed, weed.make_bucket())


@contextmanager
def able(program: Program) -> Iterator[None]:
    """Let a program write into buckets: Amanda's own needs help."""
    with ExitStack() as stack:
        if program.stock:
            os.environ["LD_PRELOAD"] = str(stack.enter_context(made_library()))
            stack.callback(os.environ.pop, "LD_PRELOAD")
        yield


def unserved() -> str | None:
    """Why there can be no store here; None: there can."""
    return why_no_weed() or why_no_library()
