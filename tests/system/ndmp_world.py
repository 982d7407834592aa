"""Worlds of the conformance harness for system tests of our own taper."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.conformance.harness import Program, World

MakeWorld = Callable[..., World]


@pytest.fixture
def make_world(installed_taper: object) -> Iterator[MakeWorld]:
    """Makes worlds with a taper in them, ours unless another is given; gone after the test."""
    worlds: list[World] = []

    def make(program: Program | None = None) -> World:
        worlds.append(World(program or Program(str(installed_taper), "ours", stock=False)))
        return worlds[-1]

    yield make
    for world in worlds:
        world.close()
