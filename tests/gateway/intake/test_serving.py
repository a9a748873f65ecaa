"""A gateway put together from its configuration takes in what is dropped and posted, on real files and sockets."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest

from gateway import serving
from gateway.app import assemble
from gateway.cli import main
from gateway.crypto.ring import KeyRing
from gateway.settings import load
from gateway.storage import upgrade
from tests.gateway.charts import BSN
from tests.gateway.commands.test_inbox import CONFIG
from tests.gateway.intake.desk import NURSING, penicillin, resident
from tests.gateway.intake.test_documents import PUSHER
from tests.gateway.world import custodian

pytestmark = [pytest.mark.anyio, pytest.mark.network]


@pytest.mark.slow
async def test_dropped_and_posted(tmp_path: Path) -> None:
    (tmp_path / "region.toml").write_text(CONFIG)
    (tmp_path / "drop").mkdir()
    KeyRing.create(tmp_path / "keys")
    upgrade(f"sqlite:///{tmp_path}/gateway.db")
    gateway = await assemble(load(tmp_path / "region.toml"), tmp_path)
    await gateway.start()
    door = serving.Serving(gateway, serving.bind("127.0.0.1:0"))
    await door.start()
    try:
        (tmp_path / "drop" / "export.json").write_bytes(resident(BSN, penicillin()))
        (tmp_path / "drop" / "export.json.done").touch()
        (inbox,) = gateway.background.inboxes
        for _ in range(2):
            await gateway.background._pick_up(inbox)
        assert [one.state for one in await gateway.stores.inbox.slips()] == ["accepted"]
        who = replace(custodian(NURSING), scopes=PUSHER, purpose="")
        token = gateway.ports.tokens.issue(who, datetime.now(UTC).timestamp())[0]  # type: ignore[union-attr]
        headers = {"authorization": f"Bearer {token}", "content-type": "application/fhir+json"}
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{door.port}", headers=headers, timeout=60) as http:
            first = await http.post("/inbox/nursing", content=resident(BSN, penicillin(criticality="low")))
            again = await http.post("/inbox/nursing", content=resident(BSN, penicillin()))
        assert (first.status_code, again.status_code) == (201, 200)
        assert first.headers["cache-control"] == "no-store"
        assert await gateway.background.erase() == 0
    finally:
        await door.stop()
        await gateway.close()


def test_check_says_what_is_wrong_with_an_inbox(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "region.toml").write_text(CONFIG)
    main(["check", "--config", str(tmp_path / "region.toml")], {})
    assert "source nursing\twrong" in capsys.readouterr().out
    (tmp_path / "drop").mkdir()
    main(["check", "--config", str(tmp_path / "region.toml")], {})
    assert "source nursing\tok\tfiles in drop" in capsys.readouterr().out
    (tmp_path / "region.toml").write_text(CONFIG + 'dialect = "excel/x"\n')
    main(["check", "--config", str(tmp_path / "region.toml")], {})
    assert "no map reads format 'excel'" in capsys.readouterr().out
