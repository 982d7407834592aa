"""The states of an application at a rendezvous, and the actions that it asks of its edge."""

from __future__ import annotations

import enum
from typing import Protocol

from attrs import frozen
from automat import TypeMachineBuilder

from protocols.directtcp import Address


@frozen
class Call:
    """Make the rendezvous connection."""


@frozen
class HangUp:
    """Close it, in an orderly way."""


@frozen
class Dial:
    """Make the data connection."""

    run: int
    addresses: tuple[Address, ...]


@frozen
class Leave:
    """Reset the data connection, or stop making it: the stream did not end."""


@frozen
class Finish:
    """End the stream of the data connection: all was sent."""


Action = Call | HangUp | Dial | Leave | Finish


class Contact(enum.Enum):
    """The rendezvous connection; the values are for people."""

    AWAY = "there is none"
    CALLING = "it is made"
    PROVING = "the taper proves itself"
    TALKING = "both talk"
    OVER = "all was said"


class Data(enum.Enum):
    """The data connection."""

    NONE = "there is none"
    DIALING = "it is made"
    SENDING = "data flow"
    ENDED = "all was sent"
    DELIVERED = "all was taken"


class Contacts(Protocol):
    """Inputs of the machine of the rendezvous connection."""

    def state(self) -> Contact:
        """The state."""

    def call(self) -> None:
        """One is to be made."""

    def made(self) -> None:
        """It is there."""

    def proven(self) -> None:
        """The taper is who it should be."""

    def lost(self) -> None:
        """It broke, or was not made."""

    def end(self) -> None:
        """It is needed no more."""


class Datas(Protocol):
    """Inputs of the machine of the data connection."""

    def state(self) -> Data:
        """The state."""

    def dial(self) -> None:
        """One is to be made."""

    def made(self) -> None:
        """It is there."""

    def finish(self) -> None:
        """All was sent."""

    def delivered(self) -> None:
        """The peer has taken it, and ended its side as well."""

    def leave(self) -> None:
        """It broke, or is to be left."""


class _Nothing:
    """The machines keep no data."""


def _tell_contact(state: Contact) -> None:
    def tell(contacts: Contacts, nothing: _Nothing) -> Contact:
        return state

    _contacts[state].upon(Contacts.state).loop()(tell)


def _tell_data(state: Data) -> None:
    def tell(datas: Datas, nothing: _Nothing) -> Data:
        return state

    _datas[state].upon(Datas.state).loop()(tell)


_builder = TypeMachineBuilder(Contacts, _Nothing)
_contacts = {state: _builder.state(state.name) for state in Contact}
for _state in Contact:
    _tell_contact(_state)
    _contacts[_state].upon(Contacts.end).to(_contacts[Contact.OVER]).returns(None)
_contacts[Contact.AWAY].upon(Contacts.call).to(_contacts[Contact.CALLING]).returns(None)
_contacts[Contact.CALLING].upon(Contacts.made).to(_contacts[Contact.PROVING]).returns(None)
_contacts[Contact.PROVING].upon(Contacts.proven).to(_contacts[Contact.TALKING]).returns(None)
for _state in (Contact.CALLING, Contact.PROVING, Contact.TALKING):
    _contacts[_state].upon(Contacts.lost).to(_contacts[Contact.AWAY]).returns(None)
_build_contact = _builder.build()

_data_builder = TypeMachineBuilder(Datas, _Nothing)
_datas = {data: _data_builder.state(data.name) for data in Data}
for _data in Data:
    _tell_data(_data)
    _datas[_data].upon(Datas.leave).to(_datas[Data.NONE]).returns(None)
_datas[Data.NONE].upon(Datas.dial).to(_datas[Data.DIALING]).returns(None)
_datas[Data.DIALING].upon(Datas.made).to(_datas[Data.SENDING]).returns(None)
_datas[Data.SENDING].upon(Datas.finish).to(_datas[Data.ENDED]).returns(None)
_datas[Data.ENDED].upon(Datas.delivered).to(_datas[Data.DELIVERED]).returns(None)
_build_data = _data_builder.build()


def make_contact() -> Contacts:
    """A machine for the rendezvous connection."""
    return _build_contact(_Nothing())


def make_data() -> Datas:
    """A machine for the data connection."""
    return _build_data(_Nothing())
