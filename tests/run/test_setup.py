"""What comes before any conversation: configuration, user, working directory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from taper.run.debug_log import DebugLog
from taper.run.options import Options
from taper.run.paths import Paths, paths_from
from taper.run.setup import SetupFailed, StartFailed, change_directory, check_user, make_setup
from tests.run.sessions import Place, make_place


@pytest.fixture(autouse=True)
def _back() -> Iterator[None]:
    here = os.getcwd()
    yield
    os.chdir(here)


def test_the_directories_are_debians_unless_the_environment_says_otherwise() -> None:
    assert paths_from({}) == Paths()
    assert paths_from({"AMANDA_TMPDIR": "/t", "AMANDA_CONFIG_DIR": "/c"}) == Paths(
        config_root="/c", tmpdir="/t"
    )
    assert paths_from({"AMANDA_DBGDIR": "/d", "AMANDA_STATE_DIR": "/s"}) == Paths(
        dbgdir="/d", statedir="/s"
    )


def test_a_configuration_and_its_first_storage(tmp_path: Path) -> None:
    setup = make_place(tmp_path).setup()
    assert setup.config.name == "C"
    assert setup.storage().name == "C"
    assert setup.debug.path is not None
    assert "/server/C/" in setup.debug.path


def test_overrides_rule(tmp_path: Path) -> None:
    setup = make_place(tmp_path).setup(overrides=("dtimeout=77",))
    assert setup.config.general.dtimeout == 77


@pytest.mark.parametrize(
    ("version", "spared"), [(None, True), ((3, 5, 4), True), ((3, 5, 1), False)]
)
def test_autolabel_any_is_what_the_amanda_here_means_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: tuple[int, ...] | None, spared: bool
) -> None:
    """Other configurations' volumes are spared unless that Amanda is known to be old."""
    monkeypatch.setattr("taper.run.setup.amanda_version", lambda: version)
    setup = make_place(tmp_path).setup(overrides=('autolabel="A-%%" any',))
    assert setup.config.general.autolabel.empty
    assert setup.config.general.autolabel.other_config is not spared
    assert setup.config.general.autolabel.non_amanda is not spared


def test_the_version_is_not_looked_for_without_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start costs nothing more for it."""

    def never() -> None:
        raise AssertionError("nobody said any")

    monkeypatch.setattr("taper.run.setup.amanda_version", never)
    place = make_place(tmp_path)
    path = tmp_path / "etc/C/amanda.conf"
    path.write_text(path.read_text().replace('%%" any', '%%" empty'))
    assert place.setup().storage().autolabel.empty


def test_a_storage_that_is_not_there(tmp_path: Path) -> None:
    setup = make_place(tmp_path).setup(storage="nosuch")
    with pytest.raises(SetupFailed) as caught:
        setup.storage()
    assert caught.value.text == "Storage 'nosuch' not found"


def test_a_configuration_whose_name_the_tapelist_cannot_hold(tmp_path: Path) -> None:
    """Refused at start: the first label would fail for it. Storages and pools with blanks are
    errors of amanda.conf."""
    make_place(tmp_path)
    (tmp_path / "etc/C").rename(tmp_path / "etc/Daily Set")
    place = Place(tmp_path)
    debug = DebugLog(place.paths.dbgdir, 1_780_000_000.0)
    setup = make_setup(Options(config_name="Daily Set"), place.paths, debug, str(place.log))
    with pytest.raises(SetupFailed) as caught:
        setup.storage()
    assert caught.value.text == (
        "configuration 'Daily Set' cannot be written to the tapelist: it holds ' ', "
        "expected a name without blanks"
    )


@pytest.mark.parametrize("blank", [" ", "\\t", "\\n", "\\f", "\\r"])
def test_a_pool_that_the_tapelist_cannot_hold(tmp_path: Path, blank: str) -> None:
    """However the blank is written: no start."""
    place = make_place(tmp_path, more=f'tapepool "a{blank}b"')
    with pytest.raises((StartFailed, SetupFailed)):
        place.setup().storage()


def test_errors_of_the_configuration_go_to_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = make_place(tmp_path)
    (tmp_path / "etc/C/amanda.conf").write_text("nonsense 5\n")
    with pytest.raises(StartFailed, match="Errors processing config file"):
        place.setup()
    assert "line 1" in capsys.readouterr().err


def test_a_missing_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = make_place(tmp_path)
    os.unlink(tmp_path / "etc/C/amanda.conf")
    with pytest.raises(StartFailed):
        place.setup()
    assert "amanda.conf" in capsys.readouterr().err


def test_only_the_dump_user_may_run_it() -> None:
    import pwd

    me = pwd.getpwuid(os.getuid()).pw_name
    other = "nobody" if me != "nobody" else "daemon"
    check_user(me)
    text = f'must be executed as the "{other}" user instead of the "{me}" user'
    with pytest.raises(StartFailed, match=text):
        check_user(other)
    with pytest.raises(StartFailed, match='cannot look up dumpuser "no such user"'):
        check_user("no such user")


def test_a_user_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getuid", lambda: 3_999_999_999)
    with pytest.raises(StartFailed, match="userid 3999999999 not found"):
        check_user("nobody")


@pytest.mark.parametrize(
    ("debug_mode", "tmp_mode", "where"),
    [(0o700, 0o700, "dbg"), (0o755, 0o700, "tmp"), (0o750, 0o777, "/"), (None, 0o700, "tmp")],
)
def test_it_works_where_a_core_dump_is_safe(
    tmp_path: Path, debug_mode: int | None, tmp_mode: int, where: str
) -> None:
    """The first directory that is private, else the root."""
    for name, mode in (("dbg", debug_mode), ("tmp", tmp_mode)):
        if mode is not None:
            (tmp_path / name).mkdir()
            (tmp_path / name).chmod(mode)
    change_directory(Paths(dbgdir=str(tmp_path / "dbg"), tmpdir=str(tmp_path / "tmp")))
    assert os.getcwd() == (where if where == "/" else str(tmp_path / where))


def test_the_log_of_the_run_in_progress_is_the_default(tmp_path: Path) -> None:
    from taper.run.debug_log import DebugLog
    from taper.run.options import Options
    from taper.run.setup import make_setup

    place = make_place(tmp_path)
    debug = DebugLog(place.paths.dbgdir, 0)
    setup = make_setup(Options(config_name="C"), place.paths, debug, None)
    assert setup.log_filename == str(place.log)
