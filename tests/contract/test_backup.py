"""A backup of either engine becomes a database of either engine, and nothing that ended comes back to life."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.audit.record import decode
from gateway.cli import main
from gateway.errors import StartError
from gateway.settings import ClientTable
from gateway.storage import Backup, Database, Stores, back_up, check_version, migrate, open_stores, restore, upgrade
from gateway.storage.engines import engine_of
from tests.contract.values import AMBULANCE, PATIENT, a_case, a_message, a_statement, an_entry, an_issued, an_item
from tests.fakes import NOON, FixedClock, plain_seal, plain_unseal

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
LATER = NOON + timedelta(hours=2)
NewUrl = Callable[[str], str]


@pytest.fixture
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> NewUrl:
    """A place for a database that does not exist yet."""
    made = []

    def new(engine: str) -> str:
        made.append(engine)
        if engine == "postgresql":
            return str(request.getfixturevalue("postgresql").new_database())
        return f"sqlite:///{tmp_path}/gateway{len(made)}.db"

    return new


@asynccontextmanager
async def opened(url: str, clock: FixedClock | None = None) -> AsyncIterator[Stores]:
    database = Database.open(url)
    yield open_stores(database, plain_seal, plain_unseal, clock or FixedClock())
    await database.close()


async def fill(url: str) -> None:
    """One of everything."""
    upgrade(url)
    async with opened(url) as stores:
        for number in range(150):
            await stores.audit.append(b"%d" % number, [an_issued(id=f"x{number}")])
        await stores.replay.first_use("ehr", "j1", NOON + timedelta(minutes=5))
        await stores.clients.add(ClientTable("ehr", "90000001"))
        await stores.index.register(an_entry())
        await stores.consents.put("k1", None, b"{}", PATIENT, [a_statement(effect="permit")])
        await stores.consents.put("k2", None, b"{}", PATIENT, [a_statement(id="s2")])
        await stores.cases.put(a_case(), b"{}")
        await stores.inbox.accept(a_message(), [an_item()], [])
        await stores.policies.keep("r1", NOON, b"{}")


def record(found: Backup) -> bytes:
    return b"restored-from " + found.digest.encode()


def content(url: str) -> dict[str, list[object]]:
    """Every row that a backup must bring back."""
    tables = set(migrate.tables()) - {"audit_log", "log_slot", "restoration"}  # to these a restore adds

    def read(pages: Callable[..., object]) -> dict[str, list[object]]:
        return {
            table: sorted((tuple(row) for page in pages(f"SELECT * FROM {table}") for row in page), key=repr)  # type: ignore[attr-defined]
            for table in tables
        }

    return engine_of(url).snapshot(url, read)


@pytest.mark.parametrize("source", ["sqlite", "postgresql"])
@pytest.mark.parametrize("target", ["sqlite", "postgresql"])
async def test_everything_comes_back_on_either_engine(
    source: str, target: str, new_url: NewUrl, tmp_path: Path
) -> None:
    old, new, file = new_url(source), new_url(target), tmp_path / "backup"
    await fill(old)
    made = back_up(old, file, LATER)
    assert file.stat().st_mode & 0o777 == 0o600
    assert made.rows["audit_log"] == 150
    found = restore(new, file, LATER, record)
    assert found == made
    check_version(new)
    assert content(new) == content(old)
    async with opened(new) as stores:
        logs = await stores.audit.heads()
        old_log = min(logs)
        assert logs[old_log] == 150
        bodies = [one.body async for one in stores.audit.records(log=old_log)]
        assert bodies == [b"%d" % number for number in range(150)]
        mark = (1, old_log[1] + 1)
        assert [one.body async for one in stores.audit.records(log=mark)] == [record(found)]
        await stores.audit.append(b"after")
        assert {log: seq for log, seq in (await stores.audit.heads()).items() if log == old_log} == {old_log: 150}
        assert await stores.inbox.item("i1") == an_item()
        assert await stores.consents.put("k1", 1, b"{}", PATIENT, []) == 2
        assert await stores.inbox.accept(a_message(key="M2"), [an_item()], []) == "new"


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
async def test_a_backup_shows_one_moment_while_others_write(engine: str, new_url: NewUrl, tmp_path: Path) -> None:
    url = new_url(engine)
    upgrade(url)
    async with opened(url) as stores:
        ended = asyncio.Event()

        async def write() -> None:
            number = 0
            while not ended.is_set():
                number += 1
                await stores.audit.append(b"x", [an_issued(id=f"x{number}")])

        task = asyncio.create_task(write())
        for attempt in range(3):
            await asyncio.sleep(0.02)
            made = await asyncio.to_thread(back_up, url, tmp_path / f"backup{attempt}", LATER)
            assert made.rows["audit_log"] == made.rows["issued_id"] > 0
        ended.set()
        await task


@pytest.mark.parametrize("target", ["sqlite", "postgresql"])
async def test_what_ended_since_the_backup_stays_ended(target: str, new_url: NewUrl, tmp_path: Path) -> None:
    old, new = new_url("sqlite"), new_url(target)
    await fill(old)
    back_up(old, tmp_path / "backup", NOON)
    clock = FixedClock()
    async with opened(old, clock) as stores:
        await stores.consents.put("k1", 1, b"withdrawn", PATIENT, [])
        await stores.consents.put("k3", None, b"{}", PATIENT, [a_statement(id="s3")])
        await stores.index.withdraw("e1", AMBULANCE)
        await stores.clients.disable("ehr")
        await stores.cases.put(a_case(closed=NOON + timedelta(hours=1)), b"{}")
        assert await stores.replay.first_use("ehr", "j2", NOON + timedelta(days=1))
        await stores.audit.append(b"since")
    restore(new, tmp_path / "backup", LATER, record, newer=old)
    async with opened(new, clock) as stores:
        assert await stores.consents.get("k1") == (2, b"withdrawn", PATIENT)
        assert {one.id for one in await stores.consents.statements(PATIENT)} == {"s2", "s3"}
        assert await stores.index.entries(PATIENT, NOON) == ()
        assert await stores.clients.client("ehr") is None
        assert await stores.cases.open_for("client-1", "person-1", PATIENT, NOON) == ()
        assert not await stores.replay.first_use("ehr", "j2", NOON + timedelta(days=1))
        heads = await stores.audit.heads()
        assert heads[min(heads)] == 151


@pytest.mark.parametrize("target", ["sqlite", "postgresql"])
async def test_an_assertion_of_before_the_restore_is_refused(target: str, new_url: NewUrl, tmp_path: Path) -> None:
    old, new = new_url("sqlite"), new_url(target)
    upgrade(old)
    back_up(old, tmp_path / "backup", NOON)
    restore(new, tmp_path / "backup", LATER, record)
    async with opened(new) as stores:
        # exp may lie 300 s ahead, and what checks it remembers 60 s more.
        assert not await stores.replay.first_use("ehr", "may be spent", LATER + timedelta(seconds=360))
        assert await stores.replay.first_use("ehr", "new", LATER + timedelta(seconds=371))


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
async def test_only_an_empty_database_is_filled_and_no_file_is_replaced(
    engine: str, new_url: NewUrl, tmp_path: Path
) -> None:
    url, file = new_url(engine), tmp_path / "backup"
    await fill(url)
    before = content(url)
    back_up(url, file, NOON)
    with pytest.raises(StartError, match="never overwritten") as raised:
        back_up(url, file, NOON)
    assert raised.value.exit_code == 1
    with pytest.raises(StartError, match="not empty"):
        restore(url, file, LATER, record)
    assert content(url) == before
    assert not (tmp_path / "backup.part").exists()


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
async def test_a_restore_that_fails_leaves_the_database_empty(engine: str, new_url: NewUrl, tmp_path: Path) -> None:
    old, new, file = new_url("sqlite"), new_url(engine), tmp_path / "backup"
    await fill(old)
    back_up(old, file, NOON)

    def broken(found: Backup) -> bytes:
        raise KeyError(found.digest)

    with pytest.raises(KeyError):
        restore(new, file, LATER, broken)
    assert not any(content(new).values())
    with pytest.raises(StartError, match="cannot be read"):
        restore(new, file, LATER, record, newer=f"sqlite:///{tmp_path}/absent.db")
    assert not any(content(new).values())
    restore(new, file, LATER, record)
    assert content(new) == content(old)


async def test_a_file_that_was_cut_or_changed_is_refused_whole(new_url: NewUrl, tmp_path: Path) -> None:
    old, new, file, bad = new_url("sqlite"), new_url("sqlite"), tmp_path / "backup", tmp_path / "bad"
    await fill(old)
    back_up(old, file, NOON)
    whole = file.read_bytes()
    step = max(1, len(whole) // 60)
    cut = [whole[:length] for length in range(0, len(whole) - 1, step)]
    changed = [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(10, len(whole), step)]
    for damaged in (*cut, *changed):
        bad.write_bytes(damaged)
        with pytest.raises(StartError, match="not a whole backup") as raised:
            restore(new, bad, LATER, record)
        assert raised.value.exit_code == 1
    with pytest.raises(StartError, match="not a whole backup"):
        restore(new, tmp_path / "absent", LATER, record)
    restore(new, file, LATER, record)


async def test_a_backup_of_a_newer_version_is_refused_and_of_an_older_one_upgraded(
    new_url: NewUrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new, file = new_url("sqlite"), new_url("sqlite"), tmp_path / "backup"
    known = migrate.migrations()
    next_step = migrate.Migration(
        len(known) + 1, "next", ("ALTER TABLE client ADD COLUMN note TEXT NOT NULL DEFAULT ''",)
    )
    await fill(old)
    back_up(old, file, NOON)
    with monkeypatch.context() as patch:
        patch.setattr(migrate, "migrations", lambda: (*known, next_step))
        restore(new, file, LATER, record)
        check_version(new)
        back_up(new, tmp_path / "newer", NOON)
    with pytest.raises(StartError, match="newer than"):
        restore(new_url("sqlite"), tmp_path / "newer", LATER, record)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["sqlite", "postgresql"])
def test_the_commands_say_what_was_done_and_what_may_be_missing(
    target: str, new_url: NewUrl, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["init", str(tmp_path / "region")], {})
    config = ["--config", str(tmp_path / "region" / "region.toml")]
    file, new = str(tmp_path / "backup"), {"GATEWAY__DATABASE__URL": new_url(target)}
    capsys.readouterr()
    assert main(["backup", file, *config], {}) == 0
    said = capsys.readouterr()
    assert "consent\t0" in said.out
    assert "the key ring is not in it" in said.err
    assert main(["backup", file, *config], {}) == 1
    assert "never overwritten" in capsys.readouterr().err
    assert main(["restore", file, *config], new) == 0
    assert "--newer URL" in capsys.readouterr().err
    assert main(["restore", file, *config], new) == 1
    assert "not empty" in capsys.readouterr().err


@pytest.mark.slow
async def test_the_record_of_a_restore_can_be_read(new_url: NewUrl, tmp_path: Path) -> None:
    main(["init", str(tmp_path / "region")], {})
    config = ["--config", str(tmp_path / "region" / "region.toml")]
    url = new_url("sqlite")
    assert main(["backup", str(tmp_path / "backup"), *config], {}) == 0
    assert (
        main(
            ["restore", str(tmp_path / "backup"), *config, "--newer", f"sqlite:///{tmp_path}/region/gateway.db"],
            {"GATEWAY__DATABASE__URL": url},
        )
        == 0
    )
    async with opened(url) as stores:
        [found] = [decode(one.body) async for one in stores.audit.records()]
    assert found.kind == "start"
    assert [reason.partition(" ")[0] for reason in found.reasons] == ["restored-from", "made", "newer"]
    assert found.reasons[2] == "newer replayed"
