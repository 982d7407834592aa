"""Include and exclude patterns made into lists that tar reads (amgtar(8))."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from types import TracebackType

from devices.regular import read_at_most
from protocols.application import Request, Selection
from protocols.gnutar import Kind, quote_name, unquote_name
from taper.application.errors import ApplicationError, reason
from taper.application.tar import Files
from taper.installation import installation
from taper.ownership import refuse_strangers

LONGEST_LIST = 16 << 20
"""Bytes of a list of patterns that we read."""

Note = Callable[[Kind, str], None]
_WILD = frozenset("*?[")


class Lists:
    """Temporary lists for one tar; as a context they are gone at its end.

    :param note: is told of patterns and lists that are of no use
    """

    def __init__(self, note: Note) -> None:
        self._note = note
        self._directory = tempfile.TemporaryDirectory(prefix="amdirecttar.", dir=_place())

    def __enter__(self) -> Lists:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._directory.cleanup()

    def write(self, name: str, lines: list[bytes], end: bytes = b"\n") -> str:
        """Write a list; its path."""
        path = os.path.join(self._directory.name, name)
        with open(path, "wb") as file:
            file.writelines(line + end for line in lines)
        return path

    def for_dump(self, request: Request) -> Files:
        """What a dump takes and leaves out.

        :raise ApplicationError: a list cannot be read
        """
        include = exclude = None
        if request.include.given:
            found = list(self._included(request))
            if not found:
                self._note(Kind.STRANGE, f"Nothing found to include for disk '{request.disk}'")
            include = self.write("include", found)
        if request.exclude.given:
            patterns = self._patterns(request.exclude, request.directory, "exclude")
            exclude = self.write("exclude", [os.fsencode(pattern) for pattern in patterns])
        return Files(include=include, exclude=exclude)

    def for_restore(self, request: Request) -> list[str]:
        """Options of tar for what is to be restored: names as the index has them, names of lists as
        they are, and patterns."""
        options: list[str] = []
        directory = os.getcwd()
        if request.exclude.given:
            patterns = self._patterns(request.exclude, directory, "exclude")
            path = self.write("exclude", [os.fsencode(pattern) for pattern in patterns])
            options += ["--exclude-from", path]
        named = [os.fsdecode(unquote_name(os.fsencode(name))) for name in request.names]
        names = [*named, *self._patterns(_without_globs(request.include), directory)]
        globs = list(self._patterns(Selection(lists=request.include.globs), directory))
        for kind, texts in (("--no-wildcards", names), ("--wildcards", globs)):
            if texts:
                path = self.write(kind, [os.fsencode(text) for text in texts], b"\0")
                options += [kind, "--null", "--files-from", path]
        return options

    def _included(self, request: Request) -> Iterator[bytes]:
        """Names for tar; a pattern in the top directory becomes the names that it matches."""
        top = request.directory
        for pattern in self._patterns(request.include, top, "include"):
            if not pattern.startswith("./"):
                self._note(Kind.STRANGE, f"include must start with './' ({pattern})")
            elif pattern.count("/") == 1 and not _WILD.isdisjoint(pattern):
                for name in self._matching(top, pattern[2:]):
                    yield b"./" + quote_name(os.fsencode(name))
            else:
                yield os.fsencode(pattern)

    def _matching(self, directory: str, pattern: str) -> list[str]:
        try:
            names = sorted(os.listdir(directory))
        except OSError as error:
            raise ApplicationError(f"cannot read {directory}: {reason(error)}", code=4024) from None
        return [name for name in names if fnmatchcase(name, pattern)]

    def _patterns(self, chosen: Selection, top: str, kind: str = "include") -> Iterator[str]:
        yield from chosen.files
        for name in (*chosen.lists, *chosen.globs):
            path = os.path.join(top, name)
            try:
                with open(path, "rb") as file:
                    data = read_at_most(file, LONGEST_LIST + 1)
            except OSError as error:
                verdict = Kind.NORMAL if chosen.optional else Kind.STRANGE
                self._note(verdict, f"Can't open {kind} file '{path}': {reason(error)}")
                continue
            if len(data) > LONGEST_LIST:
                raise ApplicationError(f"{path} is longer than {LONGEST_LIST} bytes", code=4024)
            yield from (os.fsdecode(line) for line in data.split(b"\n") if line)


def _place() -> str | None:
    """Amanda's own place for such files, which is closed to others; None: any temporary one."""
    place = installation().amanda_tmpdir
    try:
        refuse_strangers(place)
    except OSError:
        return None
    return place if os.access(place, os.W_OK | os.X_OK) else None


def _without_globs(chosen: Selection) -> Selection:
    return Selection(files=chosen.files, lists=chosen.lists, optional=chosen.optional)
