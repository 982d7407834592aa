"""What labelling and erasing ask of the world around them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from devices.interfaces import IAsyncChanger
    from protocols.conf import Config, Storage
    from protocols.tracelog import Info
    from taper.core.interfaces import IHistory, ITapelistStore


class Workplace(Protocol):
    """As much of :class:`taper.core.world.World` as whoever labels or erases volumes needs: a
    taper, or a person without one."""

    @property
    def config(self) -> Config: ...
    @property
    def storage(self) -> Storage: ...
    @property
    def changer(self) -> IAsyncChanger: ...
    @property
    def tapelists(self) -> ITapelistStore: ...
    @property
    def history(self) -> IHistory: ...
    @property
    def written(self) -> set[str]: ...

    async def note(self, record: Info) -> None:
        """Tell people."""
