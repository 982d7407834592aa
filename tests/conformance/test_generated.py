"""Conversations that a seed made, held with two tapers: the same, but for what is meant."""

import contextlib
import re
from collections.abc import Collection
from pathlib import Path

import pytest

from tests.conformance.conftest import history, pair
from tests.conformance.generated import Player
from tests.conformance.generated_direct import TAPE, DirectPlayer
from tests.conformance.generated_divided import divided
from tests.conformance.generated_judge import judge
from tests.conformance.generated_plan import Plan, make_plan
from tests.conformance.generated_rules import RULES, find
from tests.conformance.generated_smaller import smallest
from tests.conformance.harness import Program, World
from tests.conformance.test_differential import masked as masked_lines
from tests.conformance.test_differential import released_in_any_order
from tests.fakes.ndmjob import NdmJob, missing_ndmjob

SEEDS = 12
DIFFERENCES = Path(__file__).parents[2] / "docs" / "differences.md"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Choose the seeds: twelve, or as many as were asked for."""
    if "seed" in metafunc.fixturenames:
        count = metafunc.config.getoption("--generated", default=None) or SEEDS
        first = metafunc.config.getoption("--generated-from", default=None) or 0
        metafunc.parametrize("seed", range(first, first + count))


@pytest.fixture
def stock_and_ours(request: pytest.FixtureRequest) -> tuple[Program, Program]:
    """Give Amanda's taper and the other, or skip."""
    found = pair(request.config)
    if found is None or sorted(program.stock for program in found) != [False, True]:
        pytest.skip("needs Amanda's taper and another")
    return (found[0], found[1]) if found[0].stock else (found[1], found[0])


MASKS = [
    (r"and process '\d+'", "and process 'P'"),
    (r"^(< SHM-NAME \S+ \S+) .*", r"\1 RING"),
    (r'^(< PORT \S+ \S+) \d+ "(255\.255\.255\.255|127\.0\.0\.1):\d+"', r"\1 PORT \2"),
    (r"ndmp:127\.0\.0\.1:\d+@\S+/tape1", "ndmp:DRIVE"),
]


def masked(lines: list[str], rings: Collection[str] = ()) -> list[str]:
    """Hide what no two runs share, as for the other conversations, and who holds a slot.

    :param rings: dumps that came through a ring: stock logs no CRC of them
    """
    for pattern, replacement in MASKS:
        lines = [re.sub(pattern, replacement, line) for line in lines]
    dumps = "|".join(re.escape(ring) for ring in rings)
    last = rf"^((?:DONE|PARTIAL) taper \S+ \S+ (?:{dumps}).*) [0-9a-f]{{8}}:\d+ \[sec"
    if dumps:
        lines = [re.sub(last, r"\1 CRC [sec", line) for line in lines]
    return masked_lines(lines)


def play(world: World, plan: Plan, stack: contextlib.ExitStack) -> Player:
    """Hold a conversation in a world; servers end with the stack."""
    player = Player(world, plan)
    if plan.drive is not None:
        server = stack.enter_context(NdmJob(tape_limit=plan.drive.limit))
        server.blank(TAPE)
        player = DirectPlayer(world, plan, server=server)
    player.play()
    return player


def orderly(lines: list[str], tags: frozenset[str]) -> list[str]:
    """Undo what no order is promised for; a scan of its own goes on beside everything else."""
    if {"own-scan", "early-scan"} & tags:
        return sorted(lines)
    return released_in_any_order(lines)


def compare(stock: Player, ours: Player) -> str:
    """Compare step by step; the name of the rule at which they part, ``alike`` if they never do,
    or alike but for what changed nothing that came later."""
    but: list[str] = []
    said = (masked(stock.talk.transcript), masked(ours.talk.transcript))
    logs = (masked(stock.world.log(), stock.rings), masked(ours.world.log(), ours.rings))
    for number in range(min(len(stock.marks), len(ours.marks))):
        at = divided(number, stock, ours, said, logs)
        same_log = orderly(at.stock_log, at.tags) == orderly(at.ours_log, at.tags)
        if at.stock == at.ours and same_log and not at.stock_gone:
            continue
        rule = find(at)
        what = "replies" if at.stock != at.ours else "log"
        assert rule is not None, (
            f"{what} differ in {stock.marks[number].name}, {sorted(at.tags)}:\n"
            f"stock {at.first()[0]}\nours  {at.first()[1]}\n"
            + "\n".join(f"- {line}" for line in at.stock_log if line not in at.ours_log)
            + "\n"
            + "\n".join(f"+ {line}" for line in at.ours_log if line not in at.stock_log)
        )
        if not RULES[rule].goes_on:
            return rule
        but = [*but, rule] if rule not in but else but
    assert len(stock.marks) == len(ours.marks)
    assert stock.talk.process.returncode == ours.talk.process.returncode
    assert complaints(stock) == complaints(ours), "stderr differs"
    assert stock.world.tapelist() == ours.world.tapelist(), "tapelists differ"
    assert stock.volumes() == ours.volumes(), "volumes differ"
    return "-but-".join(["alike", *but])


def complaints(player: Player) -> list[str]:
    """What a taper wrote to stderr, but for probes and for the logs that stock lacks."""
    others = ("Warning: no log files found for tape ", "unhandled command 'TAPER-OK'")
    return [line for line in masked(player.talk.stderr()) if not line.startswith(others)]


def hold(programs: tuple[Program, Program], plan: Plan) -> str:
    """Hold a conversation with both; the rule at which they part, or ``alike``."""
    with contextlib.ExitStack() as stack:
        first, second = (
            stack.enter_context(contextlib.closing(World(program))) for program in programs
        )
        stock, ours = play(first, plan, stack), play(second, plan, stack)
        try:
            judge(ours)
            return compare(stock, ours)
        except AssertionError as error:
            story = f"--- stock ({stock.ended})\n{history(first)}"
            story += f"\n--- ours ({ours.ended})\n{history(second)}"
            raise AssertionError(f"{plan}:\n{error}\n{story}") from None


def test_a_generated_conversation(
    stock_and_ours: tuple[Program, Program], seed: int, request: pytest.FixtureRequest
) -> None:
    """Stock and ours answer, log and write alike, or part by a known rule; ours ends well."""
    plan = make_plan(seed)
    if plan.drive is not None and missing_ndmjob() is not None:
        pytest.skip(str(missing_ndmjob()))
    try:
        parted = hold(stock_and_ours, plan)
    except AssertionError:
        if not request.config.getoption("--generated-smaller", default=False):
            raise

        def fails(other: Plan) -> bool:
            try:
                hold(stock_and_ours, other)
            except AssertionError:
                return True
            return False

        hold(stock_and_ours, smallest(plan, fails))
        raise
    request.node.user_properties.append(("generated", f"{parted} {seed}"))


def test_what_a_failure_does_not_need_goes() -> None:
    """Steps, faults, sizes: all but the one dump that the failure is about, as it was."""
    plan = next(
        plan
        for plan in map(make_plan, range(100))
        if len(plan.steps) > 4 and any(step.kind == "vault" for step in plan.steps)
    )

    def fails(other: Plan) -> bool:
        return any(step.kind == "vault" for step in other.steps)

    small = smallest(plan, fails, tries=1000)
    assert [step.kind for step in small.steps] == ["vault"]
    (step,) = small.steps
    assert (step.fault, step.size, step.inner, set(step.answers)) == ("", 1, (), {"grant"})
    assert small.slots == ()
    assert smallest(plan, lambda other: False) == plan


@pytest.mark.parametrize("name", RULES)
def test_every_rule_is_told_to_the_user(name: str) -> None:
    """Each meant difference stands in docs/differences.md."""
    assert RULES[name].row in DIFFERENCES.read_text()
