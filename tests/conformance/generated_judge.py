"""How a taper did in a generated conversation, whatever another one would have done."""

from tests.conformance.generated import Player
from tests.conformance.generated_sources import NEVER_DONE
from tests.conformance.harness import VTAPES, World
from tests.conformance.harness_files import VolumeFile, read_volume
from tests.conformance.harness_text import crc, split_line

UNKNOWN = "00000000:0"


def parts_of(player: Player) -> dict[str, bytes]:
    """Gather, for each handle, the bytes of the parts that were reported; all must be there."""
    found = {}
    volumes = {}
    world = player.world
    for handle, parts in player.talk.parts.items():
        content = b""
        for number, (label, fileno) in enumerate(parts, 1):
            if label not in volumes:
                volumes[label] = {file.number: file for file in volume(world, label)}
            file = volumes[label].get(fileno)
            assert file is not None, f"{label} has no file {fileno}, but it was reported"
            dump = player.dumps[handle][1]
            name = [dump.datestamp, dump.host, dump.disk, "part", f"{number}/-1"]
            assert file.first_line[2:7] == name, f"{file.name} is {file.first_line}, not {name}"
            content += file.data
        found[handle] = content
    return found


def volume(world: World, label: str) -> list[VolumeFile]:
    """Read a volume; others may be damaged."""
    found = list(world.path(VTAPES).glob(f"slot*/00000.{label}"))
    assert len(found) == 1, f"{len(found)} volumes {label}"
    return read_volume(found[0].parent)


def judge(player: Player) -> None:
    """Check that a taper has ended well: exit 0, and no byte of what it reported is lost."""
    talk = player.talk
    assert player.ended == "quit", f"the taper {player.ended} at {player.marks[-2:]}"
    assert talk.process.wait(10) == 0, f"exit status {talk.process.returncode}"
    written = parts_of(player)
    for line in talk.transcript:
        words = split_line(line)
        if words[0] != "<" or words[1] not in ("DONE", "PARTIAL"):
            continue
        data = player.dumps[words[3]][0]
        got = written.get(words[3], b"")
        if words[1] == "DONE":
            bad = player.dumps[words[3]][2] & NEVER_DONE
            assert not bad, f"{words[3]} DONE, though {bad}"
            assert got == data, f"{words[3]} DONE: {len(got)} of {len(data)} bytes are right"
        assert data.startswith(got), f"{words[3]}: {len(got)} bytes on volumes are not the dump's"
        told = words[6] if words[6] != UNKNOWN else crc(b"")
        assert told == crc(got), f"{words[3]}: {told} told, but {crc(got)} is on the volumes"
    for handle, got in written.items():
        assert player.dumps[handle][0].startswith(got), f"{handle}: wrong bytes on the volumes"
    for path, content in player.untouchable.items():
        assert path.read_bytes() == content, f"{path}: a source volume was written on"
