"""Sources that lie over real HTTP, on the whole line: what they do costs their own part only, and is said."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.attacks.faulty_source import CUT, HANG, FaultySource, Script, Seen, cut, gzip_bomb, response, searchset
from tests.gateway.adapters.region import http, source
from tests.gateway.charts import CHARTS, allergy, person
from tests.gateway.world import Reply, World, run

pytestmark = [pytest.mark.network, pytest.mark.slow]

Answer = Callable[[Seen], Script]


def behaving(seen: Seen) -> Script:
    return response(searchset(person("h1")) if "/Patient" in seen.path else searchset(allergy("a7", "h1")))


def ask(faults: Callable[[str], Answer]) -> tuple[Reply, Reply, FaultySource, FaultySource]:
    """Search and summary in a world whose hospital is a server made for the address of another server."""

    async def main() -> tuple[Reply, Reply, FaultySource, FaultySource]:
        async with FaultySource(behaving) as other, FaultySource(faults(other.url)) as faulty, http() as client:
            world.ports.sources["hospital"] = source(client, faulty.url)  # type: ignore[index]
            found = await world.send("GET", f"AllergyIntolerance?patient={world.patient}")
            summary = await world.send("GET", f"Patient/{world.patient}/$summary")
            return found, summary, faulty, other

    world = World(charts=CHARTS, settings={"gateway": {"base": "http://gateway.test", "deadline": "1s"}})
    return run(main())


def allergies(script: Callable[[str], Script]) -> Callable[[str], Answer]:
    """A server that is well but for its allergies."""
    return lambda elsewhere: lambda seen: behaving(seen) if "/Patient" in seen.path else script(elsewhere)


def test_control_over_http_a_behaving_source_is_heard() -> None:
    found, summary, faulty, _ = ask(lambda _: behaving)
    assert (len(found.items), found.remarks) == (2, [])
    assert b"urn:roaz:hospital#AllergyIntolerance/a7" in summary.body
    assert faulty.seen


FAULTS: dict[str, Callable[[str], Script]] = {
    "082 truncated": lambda _: cut(response(searchset(allergy("a7", "h1"))), 200),
    "083 hangs after the headers": lambda _: [b"HTTP/1.1 200 OK\r\nContent-Type: application/fhir+json\r\nContent-Length: 900\r\n\r\n", HANG],
    "085 redirects": lambda elsewhere: response(b"", status=302, headers={"Location": elsewhere}),
    "086 pages for ever": lambda _: response(searchset(link=[{"relation": "next", "url": "AllergyIntolerance?x=1"}])),
    "086 pages elsewhere": lambda elsewhere: response(searchset(link=[{"relation": "next", "url": f"{elsewhere}/x"}])),
    "087 bomb": lambda _: gzip_bomb(50),
    "080 an error": lambda _: response({"resourceType": "OperationOutcome"}, status=500),
    "080 no FHIR": lambda _: response("<html>down for maintenance</html>", content_type="text/html"),
    "077 goes away": lambda _: [CUT],
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_082_to_088_a_fault_over_http_is_said_and_costs_its_own_part(name: str) -> None:
    found, summary, _, other = ask(allergies(FAULTS[name]))
    assert [item["meta"]["source"] for item in found.items if "hospital" not in item["meta"]["source"]] == [
        "urn:roaz:gp#AllergyIntolerance/a1"
    ]
    assert "source-failed" in found.remarks
    assert summary.status == 200
    assert b"maintenance" not in found.body + summary.body
    assert other.connections == 0, "nobody is led elsewhere"
