"""How long a storage keeps its volumes, in days [config 3.5]."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from protocols.conf.config import Config
    from protocols.conf.sections import Storage

LONGEST = 36500


def days_kept(config: Config, storage: Storage | None) -> int:
    """For how many days after it was written a volume is not written over, as far as the policy
    tells, from 1 to :data:`LONGEST`.

    Rules in days count as they are; one for what can be recovered reaches back to the full dump
    before, that is by a cycle more. A number of volumes is worth the days in which so many are
    written if every run uses as many as it may.

    :param storage: None: what the global parameters say
    """
    general = config.general
    policy = None if storage is None else config.policy(storage.policy)
    volumes = general.tapecycle - 1 if policy is None else policy.retention_tapes
    a_run = max(general.runtapes if storage is None else storage.runtapes, 1)
    runs = general.runspercycle or general.dumpcycle
    days = [1, volumes * general.dumpcycle // (a_run * runs) if runs > 0 else 0]
    if policy is not None:
        days += [policy.retention_days, policy.retention_full]
        if policy.retention_recover:
            days.append(policy.retention_recover + general.dumpcycle)
    return min(max(days), LONGEST)
