"""The data service [ndmp-server 7.1]: a tape server has none, and says so to each request."""

from __future__ import annotations

from protocols.directtcp import Address
from protocols.ndmp import messages as m
from protocols.ndmp.codes import AddressType, DataHaltReason, DataState, ErrorCode
from tests.ndmp_conformance.mover_steps import ARGS, ILLEGAL
from tests.ndmp_conformance.scenario import ALL_VERSIONS, SINCE_3, Scenario, Step, case, denied
from tests.ndmp_conformance.scene import Scene, ask, posted
from tests.ndmp_conformance.talk import Wrong

ABORT, STOP, STATE, ENV = m.DataAbort(), m.DataStop(), m.DataGetState(), m.DataGetEnv()
LISTEN = m.DataListen(AddressType.TCP)
TO_IPC = m.DataConnect(m.DataAddress(AddressType.IPC))
TO_NOBODY = m.DataConnect(m.DataAddress(AddressType.TCP, (Address("127.0.0.1", 9),)))
BACKUP, RECOVER = m.DataStartBackup(butype="tar"), m.DataStartRecover(butype="tar")
STRANGE, STRANGE_TOO = m.DataStartBackup(butype="cpio"), m.DataStartRecover(butype="cpio")
HISTORY = m.DataStartRecoverFilehist(butype="tar")
NONE = ErrorCode.NOT_SUPPORTED
IDLE, LISTENING = DataState.IDLE, DataState.LISTEN


def served(*steps: Step) -> Step:
    """What is left to do where there is a data service."""

    def step(scene: Scene) -> None:
        if scene.talk.request(STATE).error != NONE:
            for one in steps:
                one(scene)

    return step


ENDED = served(
    posted(m.NotifyDataHalted, reason=DataHaltReason.ABORTED),
    ask(STATE, state=DataState.HALTED, halt_reason=DataHaltReason.ABORTED),
)

SUITE = (
    case("ID1", "given up while it listens", ask(LISTEN), ask(ABORT), ENDED, versions=SINCE_3),
    denied("ID2", ABORT),
    case("ID3", "given up in IDLE", ask(ABORT, ILLEGAL), versions=ALL_VERSIONS),
    case(
        "ID4", "to connect while it listens", ask(LISTEN), ask(TO_NOBODY, ILLEGAL), versions=SINCE_3
    ),
    case("ID5", "to connect to nobody", ask(TO_NOBODY, ErrorCode.CONNECT), versions=SINCE_3),
    denied("ID6", TO_NOBODY),
    case("ID7", "to connect by no kind of address", ask(TO_IPC, ARGS), versions=SINCE_3),
    case("ID8", "environment in IDLE", ask(ENV, ILLEGAL), versions=ALL_VERSIONS),
    denied("ID9", ENV),
    case("ID10", "environment", ask(LISTEN), ask(ENV), versions=SINCE_3),
    denied("ID11", STATE),
    case("ID12", "the state", ask(STATE, state=IDLE), versions=ALL_VERSIONS),
    case("ID13", "a backup of no kind", ask(STRANGE, ARGS, ILLEGAL)),
    case("ID14", "a backup in IDLE", ask(BACKUP, ILLEGAL, ARGS), versions=SINCE_3),
    denied("ID15", BACKUP),
    case("ID16", "a backup of nothing", ask(BACKUP, ILLEGAL, ARGS), versions=SINCE_3),
    case("ID17", "a recovery of no kind", ask(STRANGE_TOO, ARGS, ILLEGAL)),
    case("ID18", "a recovery in IDLE", ask(RECOVER, ILLEGAL, ARGS), versions=SINCE_3),
    denied("ID19", RECOVER),
    case("ID20", "a recovery of nothing", ask(RECOVER, ILLEGAL, ARGS), versions=SINCE_3),
    case("ID21", "a recovery of the history", ask(HISTORY, NONE), versions=SINCE_3),
    case("ID22", "stopped in IDLE", ask(STOP, ILLEGAL), versions=ALL_VERSIONS),
    denied("ID23", STOP),
    case(
        "ID24",
        "stopped",
        ask(LISTEN),
        ask(ABORT),
        ENDED,
        ask(STOP),
        ask(STATE, state=IDLE),
        versions=SINCE_3,
    ),
    case("ID25", "to listen by no kind of address", ask(m.DataListen(7), ARGS), versions=SINCE_3),
    case("ID26", "to listen twice", ask(LISTEN), ask(LISTEN, ILLEGAL), versions=SINCE_3),
    case("ID27", "to listen", ask(LISTEN), ask(STATE, state=LISTENING), versions=SINCE_3),
)


def refuses_backups(scene: Scene) -> None:
    """No backup, so no history, no files that are told of, no end of one."""
    for request in (BACKUP, RECOVER, HISTORY, m.ConfigGetButypeInfo(), m.ConfigGetFsInfo()):
        ask(request, NONE)(scene)
    if scene.talk.posts:
        raise Wrong(f"{scene.talk.posts} of a server without a data service")


POSTS = tuple(
    case(f"IP{number}", f"nothing is told of {what}", refuses_backups, needs="no-data-service")
    for number, what in (
        *((1, "directories"), (2, "files"), (3, "nodes"), (4, "files that are not found")),
        *((5, "directories that are not there"), (6, "files that may not be written")),
        *((7, "files that were recovered"), (12, "the end of a backup")),
    )
)

# ndmjob's own tests of a data agent

IDLE_TEST = case(
    "ND1",
    "D-IDLE",
    ask(STATE, state=IDLE),
    ask(ABORT, ILLEGAL),
    ask(STOP, ILLEGAL),
    versions=ALL_VERSIONS,
)
LISTEN_TEST = case(
    "ND2",
    "D-LISTEN",
    ask(STATE, state=IDLE),
    ask(LISTEN),
    ask(STATE, state=LISTENING),
    ask(LISTEN, ILLEGAL),
    ask(STOP, ILLEGAL),
    ask(ABORT),
    ENDED,
    ask(STOP),
    ask(STATE, state=IDLE),
    versions=SINCE_3,
)
ARGS_TEST = case(
    "ND3",
    "D-LISTEN, bogus arguments",
    ask(STATE, state=IDLE),
    ask(m.DataListen(123), ARGS),
    versions=SINCE_3,
)

SCENARIOS: tuple[Scenario, ...] = (*SUITE, *POSTS, IDLE_TEST, LISTEN_TEST, ARGS_TEST)
