"""How a taper did in a generated conversation, whatever another one would have done."""

from tests.conformance.generated import Player
from tests.conformance.generated_sources import NEVER_DONE
from tests.conformance.harness_text import split_line


def parts_of(player: Player) -> dict[str, bytes]:
    """Gather, for each handle, the bytes of the parts that were reported; all must be there."""
    found = {}
    volumes = {}
    for handle, parts in player.talk.parts.items():
        content = b""
        for number, (label, fileno) in enumerate(parts, 1):
            if label not in volumes:
                volumes[label] = player.stored(label)
            assert fileno in volumes[label], f"{label} has no file {fileno}, but it was reported"
            words, data = volumes[label][fileno]
            dump = player.dumps[handle][1]
            name = [dump.datestamp, dump.host, dump.disk, "part", f"{number}/-1"]
            assert words[2:7] == name, f"{label} file {fileno} is {words}, not {name}"
            content += data
        found[handle] = content
    return found


def judge(player: Player) -> None:
    """Check that a taper has ended well: exit 0, and no byte of what it reported is lost."""
    talk = player.talk
    assert player.ended == "quit", f"the taper {player.ended} at {player.marks[-2:]}"
    assert talk.process.wait(60) == 0, f"exit status {talk.process.returncode}"
    written = parts_of(player)
    for line in talk.transcript:
        words = split_line(line)
        if words[0] != "<" or words[1] not in ("DONE", "PARTIAL"):
            continue
        data = player.dumps[words[3]][0]
        whole = player.on_medium(data)
        got = written.get(words[3], b"")
        if words[1] == "DONE":
            bad = player.dumps[words[3]][2] & NEVER_DONE
            assert not bad, f"{words[3]} DONE, though {bad}"
            assert got == whole, f"{words[3]} DONE: {len(got)} of {len(whole)} bytes are right"
        assert words[6] in player.sums(data, len(got)), f"{words[3]}: {words[6]} is another's sum"
    for handle, got in written.items():
        whole = player.on_medium(player.dumps[handle][0])
        assert whole.startswith(got), f"{handle}: wrong bytes on the volumes"
    for path, content in player.untouchable.items():
        assert path.read_bytes() == content, f"{path}: a source volume was written on"
