"""Sessions, logins and what a server says of itself [ndmp-server 1, 2, 6, 7.1]."""

from __future__ import annotations

from protocols.directtcp import Address
from protocols.ndmp import messages as m
from protocols.ndmp.codes import AddressType, AuthType, ErrorCode, MoverState, TapeMode
from tests.ndmp_conformance.mover_steps import (
    ARGS,
    ILLEGAL,
    MOVER,
    READ,
    calls,
    comes_to,
    connecting,
    finishes,
    halted,
    hangs_up,
    is_hung_up,
    listen,
    sends,
)
from tests.ndmp_conformance.scenario import ALL_VERSIONS, SINCE_3, Scenario, case, denied
from tests.ndmp_conformance.scene import OK, Scene, Step, all_of, ask
from tests.ndmp_conformance.session_steps import (
    CONNECTED,
    WRONG,
    call,
    goes_away,
    in_fragments,
    login,
    opening,
    other,
    raw,
    says_good_bye,
    stray_reply,
)
from tests.ndmp_conformance.talk import Wrong
from tests.ndmp_conformance.tape_steps import FILEMARK, TAPE, read, reads_nothing, tape_open, write

DENIED = ErrorCode.NOT_AUTHORIZED
UNSUPPORTED = ErrorCode.NOT_SUPPORTED
GREETED: tuple[Step, ...] = (call,)
OPENED: tuple[Step, ...] = (call, opening())
TEXT, MD5, NONE = AuthType.TEXT, AuthType.MD5, AuthType.NONE
HOST, SERVER = m.ConfigGetHostInfo(), m.ConfigGetServerInfo()
EXTENSIONS = m.ConfigGetExtList()


def server_auth(kind: AuthType, *errors: ErrorCode) -> Step:
    """CONNECT_SERVER_AUTH, which no server need have."""
    return ask(m.ConnectServerAuth(challenge=m.Challenge(kind)), *errors, UNSUPPORTED)


def auth_attr(kind: int) -> m.Request[m.Reply]:
    return m.ConfigGetAuthAttr(auth_type=kind)


CONNECT = (
    case("IC1", "the version of the greeting", opening(), start=GREETED, versions=ALL_VERSIONS),
    case("IC2", "no version", opening(65535, ARGS), opening(), login(), start=GREETED),
    case("IC3", "once more, after other requests", opening(4, ILLEGAL)),
    case(
        "IC4",
        "once more at once, the same and another",
        opening(4, OK),
        opening(3, ARGS, ILLEGAL),
        login(),
        start=OPENED,
    ),
    case("IC5", "login by text", start=CONNECTED, versions=ALL_VERSIONS),
    case("IC6", "a wrong password", login("text", DENIED, password=WRONG), start=OPENED),
    case("IC7", "no login at all", login("none", ARGS, UNSUPPORTED), start=OPENED),
    case(
        "IC8",
        "no login at all, and then a good one",
        login("none", ARGS, UNSUPPORTED),
        login(),
        start=OPENED,
        versions=ALL_VERSIONS,
    ),
    case("IC9", "good-bye", says_good_bye, versions=ALL_VERSIONS),
    case("IP11", "at the end nothing is said but that it is", says_good_bye),
    case(
        "L8",
        "a good login, a bad one, and a device",
        login("text", DENIED, password=WRONG),
        ask(m.ScsiOpen("bogus"), DENIED),
    ),
    case("IC10", "who are you?", server_auth(TEXT, OK)),
    case("IC11", "who are you, before login?", server_auth(TEXT, DENIED), start=OPENED),
    case("IC12", "who are you, by no method?", server_auth(NONE, ARGS)),
)

CONFIG = (
    case("IG1", "drives", ask(m.ConfigGetTapeInfo()), versions=SINCE_3),
    denied("IG2", m.ConfigGetTapeInfo()),
    case("IG3", "server", ask(SERVER, vendor=bool, auth_types=bool), versions=SINCE_3),
    case("IG4", "SCSI devices", ask(m.ConfigGetScsiInfo()), versions=SINCE_3),
    denied("IG5", m.ConfigGetScsiInfo()),
    case("IG6", "host", ask(HOST, hostname=bool), versions=ALL_VERSIONS),
    denied("IG7", m.ConfigGetFsInfo()),
    case("IG8", "extensions", ask(EXTENSIONS)),
    case(
        "IG9",
        "data connections",
        ask(m.ConfigGetConnectionType(), types=lambda types: AddressType.TCP in types),
        versions=ALL_VERSIONS,
    ),
    denied("IG10", m.ConfigGetConnectionType()),
    case("IG11", "kinds of backup", ask(m.ConfigGetButypeInfo(), OK), versions=SINCE_3),
    denied("IG12", m.ConfigGetButypeInfo()),
    case(
        "IG13",
        "what a login needs",
        ask(auth_attr(TEXT), challenge=lambda told: told.kind == TEXT),
        versions=ALL_VERSIONS,
    ),
    case("IG14", "the same before login", ask(auth_attr(TEXT)), start=OPENED),
)


def two_challenges(scene: Scene) -> None:
    """No challenge is like another."""
    seen = set()
    for _ in range(2):
        ask(auth_attr(MD5))(scene)
        seen.add(scene.told["CONFIG_GET_AUTH_ATTR"].challenge.challenge)
    if len(seen) < 2:
        raise Wrong("the same challenge twice")


def empty_strings(scene: Scene) -> None:
    """A stranger learns how to log in, and no more."""
    ask(SERVER, vendor="", product="", revision="", auth_types=bool)(scene)


UNKNOWN_AUTH = m.ConnectClientAuth(auth=m.AuthData(5))
STATE = m.MoverGetState()

OWN = (
    case(
        "S2",
        "requests without CONNECT_OPEN are of the greeting's version",
        ask(HOST),
        start=(call, login()),
    ),
    case(
        "S4a",
        "before login: what the server is called",
        ask(HOST, DENIED, in_header=True),
        start=OPENED,
        versions=ALL_VERSIONS,
    ),
    case("S4b", "before login: the tape", tape_open(TapeMode.RDWR, "drive", DENIED), start=OPENED),
    case("S6", "before login: strings are empty", empty_strings, start=OPENED),
    case("S7a", "login by md5", login("md5"), ask(HOST), start=OPENED, versions=ALL_VERSIONS),
    case("S7b", "a challenge is for once", two_challenges, start=OPENED),
    case("S7c", "md5 with a wrong password", login("md5", DENIED, password=WRONG), start=OPENED),
    case(
        "S7d",
        "a digest without a challenge",
        ask(m.ConnectClientAuth(auth=m.AuthData(MD5, "ndmp")), DENIED),
        start=OPENED,
    ),
    case(
        "S8",
        "a failed login ends an earlier one",
        login("text", DENIED, password=WRONG),
        ask(HOST, DENIED),
        login(),
        ask(HOST),
    ),
    case(
        "S10",
        "a login of a kind that does not exist",
        ask(UNKNOWN_AUTH, ARGS),
        login(),
        start=OPENED,
    ),
    case(
        "S11",
        "what no login needs",
        ask(auth_attr(NONE), ARGS),
        ask(auth_attr(7), ARGS),
        start=OPENED,
    ),
    case(
        "S15a",
        "a lost session closes the drive, with a filemark",
        *TAPE,
        write(),
        goes_away,
        *CONNECTED,
        *TAPE,
        read(),
        reads_nothing(ErrorCode.EOF),
        versions=ALL_VERSIONS,
    ),
    case(
        "S15b",
        "a lost session ends its data connection, and frees the drive",
        *MOVER,
        listen(READ),
        calls,
        comes_to(MoverState.ACTIVE),
        goes_away,
        is_hung_up,
        *CONNECTED,
        *TAPE,
    ),
    case(
        "S16a",
        "a code that nobody knows",
        raw(0x2FF0, "", UNSUPPORTED),
        ask(HOST),
        versions=ALL_VERSIONS,
    ),
    case(
        "S16b",
        "a body that ends too early",
        raw(0x300, "0000", ErrorCode.XDR_DECODE),
        raw(0x303, "00000004", ErrorCode.XDR_DECODE),
        ask(HOST),
        versions=ALL_VERSIONS,
    ),
    case(
        "S16c",
        "a body with more than there is",
        raw(0x301, "00000001", ErrorCode.XDR_DECODE),
        ask(HOST),
    ),
    case(
        "S16d",
        "a length that is longer than the message",
        raw(0x300, "7fffffff", ErrorCode.XDR_DECODE),
        ask(HOST),
    ),
    case("S16e", "a reply to nothing is passed over", stray_reply(0x100), ask(HOST)),
    case(
        "S16f",
        "a message in fragments",
        in_fragments(m.TapeOpen("drive", 7), ARGS, ErrorCode.NO_DEVICE),
        versions=ALL_VERSIONS,
    ),
    case(
        "S17",
        "requests one behind another are answered in order",
        all_of(
            *[(HOST, OK, {}), (m.TapeClose(), ErrorCode.DEV_NOT_OPEN, {})],
            *[(STATE, OK, {"state": MoverState.IDLE}), (m.MoverStop(), ILLEGAL, {})],
        ),
        versions=ALL_VERSIONS,
    ),
    case(
        "S3.2",
        "a drive has one session",
        *TAPE,
        other(
            tape_open(TapeMode.RDWR, "drive", ErrorCode.DEVICE_BUSY, patient=False),
            tape_open(TapeMode.READ, "drive", ErrorCode.DEVICE_BUSY, patient=False),
        ),
        ask(m.TapeClose()),
        other(tape_open(), ask(m.TapeClose())),
        versions=ALL_VERSIONS,
    ),
)

CLASS = 0x2051
CHOOSE = m.ConfigSetExtList


def chosen(*pairs: tuple[int, int]) -> m.Request[m.Reply]:
    """SET_EXT_LIST."""
    return CHOOSE(extensions=tuple(m.ClassVersion(*pair) for pair in pairs))


TOO_LATE = ErrorCode.EXT_DN_ILLEGAL
OVER_IPV6 = AddressType.TCP_IPV6
GET_AND_SET = (ask(EXTENSIONS), ask(chosen((CLASS, 1))))


def lists_the_class(found: tuple[m.ClassVersions, ...]) -> bool:
    return any(one.extension == CLASS and 1 in one.versions for one in found)


NOWHERE = m.DataAddress(OVER_IPV6, (Address("::1", 9),))

EXTENDED = (
    case("E1", "the list, twice", ask(EXTENSIONS), ask(EXTENSIONS)),
    case("E2", "to choose without asking", ask(chosen(), ErrorCode.PRECONDITION)),
    case(
        "E3",
        "a class that nobody has",
        ask(EXTENSIONS),
        ask(chosen((0x7FF5, 1)), ErrorCode.CLASS_NOT_SUPPORTED),
        ask(chosen()),
    ),
    case(
        "E4",
        "to choose nothing, and once more",
        ask(EXTENSIONS),
        ask(chosen()),
        ask(chosen(), TOO_LATE),
        ask(EXTENSIONS, TOO_LATE),
    ),
    case("E5", "before login", ask(EXTENSIONS, DENIED), ask(chosen(), DENIED), start=OPENED),
    case(
        "E6",
        "before version 4",
        raw(0x10A, "", UNSUPPORTED),
        raw(0x109, "00000000", UNSUPPORTED),
        versions=(3, 2),
    ),
    case(
        "E7",
        "the form that ndmjob has for it",
        ask(EXTENSIONS),
        raw(0x109, "00000000 00000000", OK),
    ),
    case(
        "E8",
        "a message of a class that was not chosen",
        raw(0x20510001, "", UNSUPPORTED),
        ask(HOST),
    ),
    case(
        "E9",
        "connection addresses are on the list",
        ask(EXTENSIONS, extensions=lists_the_class),
        needs="ipv6",
    ),
    case(
        "E10",
        "a version that it has not",
        ask(EXTENSIONS),
        ask(chosen((CLASS, 9)), ErrorCode.VERSION_NOT_SUPPORTED),
        ask(chosen((CLASS, 1))),
        needs="ipv6",
    ),
    case(
        "E11",
        "a class twice",
        ask(EXTENSIONS),
        ask(chosen((CLASS, 1), (CLASS, 1)), ErrorCode.EXT_DUPL_CLASSES),
        needs="ipv6",
    ),
    case(
        "E12",
        "IPv6 before it is chosen",
        *MOVER,
        listen(READ, ARGS, kind=OVER_IPV6),
        ask(m.MoverConnect(READ, NOWHERE), ARGS),
    ),
    case(
        "E13",
        "IPv6 is told once it is chosen",
        *GET_AND_SET,
        ask(m.ConfigGetConnectionType(), types=lambda types: OVER_IPV6 in types),
        needs="ipv6",
    ),
    case(
        "E14",
        "a stream by IPv6, to us",
        *GET_AND_SET,
        *MOVER,
        connecting(READ, kind=OVER_IPV6),
        sends(b"x" * 1024),
        finishes,
        halted(1),
        ask(m.MoverStop()),
        hangs_up,
        FILEMARK,
        needs="ipv6",
    ),
    case(
        "E15",
        "a stream by IPv6, from us",
        *GET_AND_SET,
        *MOVER,
        listen(READ, kind=OVER_IPV6),
        calls,
        sends(b"x" * 1024),
        finishes,
        halted(1),
        ask(m.MoverStop()),
        hangs_up,
        FILEMARK,
        needs="ipv6",
    ),
)

SCENARIOS: tuple[Scenario, ...] = (*CONNECT, *CONFIG, *OWN, *EXTENDED)
