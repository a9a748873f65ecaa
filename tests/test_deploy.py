"""What is in deploy/ fits the code: settings, ports, paths, files; and nothing in it is left open."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import re
import shutil
import ssl
import tomllib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
import yaml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from gateway import settings
from gateway.adapters.dialects import dialect
from gateway.cli import COMMANDS
from gateway.demo.hosting import Hosted
from gateway.policy import build
from gateway.routes import health
from tests.attacks.certificates import Authority

ROOT: Final = Path(__file__).resolve().parents[1]
DEPLOY: Final = ROOT / "deploy"
DOCKERFILE: Final = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE: Final[dict[str, Any]] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: Final[dict[str, dict[str, Any]]] = COMPOSE["services"]
OURS: Final = ("gateway-a", "gateway-b", "migrate", "admin")
EXAMPLE: Final = (DEPLOY / "region.example.toml").read_text(encoding="utf-8")
PROXY: Final = "\n".join(
    (DEPLOY / "proxy" / name).read_text(encoding="utf-8") for name in ("nginx.conf", "gateway.conf")
)
# Written by whoever deploys; deploy/README.md says how.
THEIRS: Final = ("./region.toml", "./clients", "./secrets/")
HEALTH: Final = set(health.ROUTES)
_INSTRUCTION: Final = re.compile(r"^([A-Z]+)\s+(.+?)(?<!\\)$", re.MULTILINE | re.DOTALL)


def stages() -> list[list[tuple[str, str]]]:
    """The instructions of each stage of the Dockerfile, continued lines joined."""
    text = re.sub(r"\\\n\s*", " ", "\n".join(line for line in DOCKERFILE.splitlines() if not line.startswith("#")))
    found: list[list[tuple[str, str]]] = []
    for line in filter(None, text.splitlines()):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            found.append([])
        if found:
            found[-1].append((word, rest.strip()))
    return found


def mounts(service: dict[str, Any], kind: str) -> Iterator[dict[str, Any]]:
    return (row for row in service.get("volumes", ()) if row["type"] == kind)


def environment(text: str) -> dict[str, str]:
    """What an ENV instruction sets."""
    return dict(part.split("=", 1) for part in text.split())


# --- Dockerfile ----------------------------------------------------------------------------------


def test_the_image_has_no_build_tools_and_no_root() -> None:
    build_stage, final = stages()
    words = [word for word, _ in final]
    assert ("USER", "10001:10001") in final
    assert words.index("USER") < words.index("ENTRYPOINT")
    assert not any("apt-get" in text or "install" in text.split(",")[0] for word, text in final if word == "RUN")
    assert ("RUN", '["python", "-m", "pip", "uninstall", "--yes", "pip"]') in final
    copied = [text for word, text in final if word == "COPY"]
    assert copied
    assert all(text.startswith("--from=build") for text in copied)
    assert any("requirements.lock" in text and ".[postgresql]" in text for word, text in build_stage if word == "RUN")


def test_the_image_is_pinned_and_holds_no_secret() -> None:
    assert not re.search(
        r"^FROM\s+\S*(:latest|[^:}\s])$", re.sub(r"\s+AS\s+\S+", "", DOCKERFILE), re.MULTILINE | re.IGNORECASE
    )
    version = re.search(r"^ARG PYTHON=(\S+)$", DOCKERFILE, re.MULTILINE)
    assert version
    assert re.fullmatch(r"3\.1[1-4][\w.\-]*", version[1])
    assert "ADD" not in {word for stage in stages() for word, _ in stage}
    assert not re.search(r"(?i)(password|secret|token|private)[\w]*=", DOCKERFILE)
    assert all(
        text.startswith("[") for stage in stages() for word, text in stage if word in {"RUN", "ENTRYPOINT", "CMD"}
    )


def test_the_image_copies_the_packages_that_are_installed() -> None:
    tree = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    copied = {text.split()[0] for word, text in stages()[0] if word == "COPY"}
    assert copied >= set(tree["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    assert "postgresql" in tree["project"]["optional-dependencies"]
    for name in ["pyproject.toml", "requirements.lock", "README.md", "LICENSE"]:
        assert (ROOT / name).is_file()
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in ignored
    assert {f"!{name}" for name in copied if (ROOT / name).exists()} <= set(ignored)


def test_the_image_is_checked_where_the_code_answers() -> None:
    final = stages()[1]
    check = next(text for word, text in final if word == "HEALTHCHECK")
    path = re.search(r"127\.0\.0\.1:8080(/[\w/]+)", check)
    assert path
    assert path[1] in HEALTH
    assert ("EXPOSE", "8080") in final
    variables = next(environment(text) for word, text in final if word == "ENV")
    assert accepted(variables).gateway.listen == "0.0.0.0:8080"


# --- compose.yaml --------------------------------------------------------------------------------


def accepted(variables: dict[str, str], text: str = EXAMPLE) -> settings.Settings:
    """The settings of a configuration with these variables over it; an unknown one is an error."""
    tree = tomllib.loads(text)
    settings.override(tree, variables)
    return settings.parse(tree)


def test_every_container_is_hardened() -> None:
    for name, service in SERVICES.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not service["user"].startswith("0"), name
        assert "privileged" not in service, name
        assert service["healthcheck"].get("disable") or service["healthcheck"]["test"][0] == "CMD", name


def test_images_are_pinned() -> None:
    for name, service in SERVICES.items():
        tag = service["image"].rpartition(":")[2]
        assert "latest" not in tag, name
        assert name in OURS or re.match(r"\d+\.\d+", tag), name
    assert SERVICES["postgres"]["image"].startswith("postgres:16.")


def test_every_variable_is_a_setting() -> None:
    for name in OURS:
        read = accepted(SERVICES[name]["environment"])
        assert read.gateway.keys == "/var/lib/gateway/keys"
        assert read.database.url.startswith("postgresql://")
    assert all(key.startswith("GATEWAY__") for name in OURS for key in SERVICES[name]["environment"])


def test_only_the_proxy_is_believed_and_only_it_is_open() -> None:
    address = SERVICES["proxy"]["networks"]["front"]["ipv4_address"]
    assert accepted(SERVICES["gateway-a"]["environment"]).gateway.trusted_proxies == (address,)
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["proxy"]
    assert COMPOSE["networks"]["back"]["internal"] is True
    assert SERVICES["postgres"]["networks"] == ["back"]


def test_names_lead_somewhere() -> None:
    for name, service in SERVICES.items():
        assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"]), name
        assert set(service["networks"]) <= set(COMPOSE["networks"]), name
        assert {row["source"] for row in mounts(service, "volume")} <= set(COMPOSE["volumes"]), name
        assert set(service.get("depends_on", ())) <= set(SERVICES), name
        for row in mounts(service, "bind"):
            assert row["read_only"] is True, name
            assert row["source"] in THEIRS or (DEPLOY / row["source"]).is_file(), row["source"]
    assert all(row["file"].startswith("./secrets/") for row in COMPOSE["secrets"].values())
    readme = (DEPLOY / "README.md").read_text(encoding="utf-8")
    for row in COMPOSE["secrets"].values():
        assert Path(row["file"]).name in readme, "the README says what goes in it"


def test_secrets_are_files() -> None:
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    assert not re.search(r"(?i)password(?!_file|_passfile)\s*:\s*\S", text.replace("database_password:", ""))
    (passfile,) = parse_qs(urlsplit(SERVICES["gateway-a"]["environment"]["GATEWAY__DATABASE__URL"]).query)["passfile"]
    given = {f"/run/secrets/{secret}" for name in OURS for secret in SERVICES[name]["secrets"]}
    assert passfile in given
    assert SERVICES["postgres"]["environment"]["POSTGRES_PASSWORD_FILE"] == "/run/secrets/database_password"


def test_commands_are_those_of_the_code() -> None:
    for name in OURS:
        command, *words = SERVICES[name]["command"]
        assert command in COMMANDS
        parser = argparse.ArgumentParser()
        importlib.import_module(f"gateway.commands.{command}").arguments(parser)
        assert parser.parse_args(words).config == Path("/etc/gateway/region.toml")


def test_containers_are_checked_where_the_code_answers() -> None:
    for name in ("gateway-a", "gateway-b", "proxy"):
        path = re.search(r"http://127\.0\.0\.1:\d+(/[\w/]+)", " ".join(SERVICES[name]["healthcheck"]["test"]))
        assert path
        assert path[1] in HEALTH, name


def test_gateways_wait_for_the_database_and_its_upgrade() -> None:
    for name in ("gateway-a", "gateway-b"):
        waits = SERVICES[name]["depends_on"]
        assert waits["postgres"]["condition"] == "service_healthy"
        assert waits["migrate"]["condition"] == "service_completed_successfully"
    assert SERVICES["migrate"]["restart"] == "no"


# --- the example region --------------------------------------------------------------------------


def test_the_example_is_a_region() -> None:
    read = accepted({})
    policy = build(read)
    assert {row.kind for row in read.sources} == {"fhir-r4", "fhir-stu3", "mllp"}
    for row in read.sources:
        assert row.kind == "mllp" or dialect(row.dialect).format == row.kind
        for path in (row.ca_file, row.client_certificate, row.client_key, row.server_certificate, row.server_key):
            assert not path or path.removeprefix("/run/secrets/") in SERVICES["gateway-a"]["secrets"]
    for agreement in policy.agreements:
        assert agreement.requesters | agreement.custodians <= set(policy.organizations)
    for client in read.clients:
        assert client.jwks_file.startswith("/etc/gateway/clients/")
    assert read.gateway.base.startswith("https://")


def test_feeds_come_in_on_a_port_the_proxy_has() -> None:
    (feed,) = (row for row in accepted({}).sources if row.kind == "mllp")
    port = feed.listen.rpartition(":")[2]
    assert f"{port}:{port}" in SERVICES["proxy"]["ports"]
    assert re.search(rf"server gateway-a:{port} ", PROXY)


# --- the proxy -----------------------------------------------------------------------------------


def test_the_proxy_names_what_exists() -> None:
    given = {f"/run/secrets/{secret}" for secret in SERVICES["proxy"]["secrets"]}
    assert set(re.findall(r"/run/secrets/\w+", PROXY)) <= given
    mounted = {row["target"] for row in mounts(SERVICES["proxy"], "bind")}
    assert set(re.findall(r"include\s+(\S+);", PROXY)) <= mounted
    upstreams = re.findall(r"server (gateway-\w):(\d+) ", PROXY)
    assert {name for name, _ in upstreams} == {"gateway-a", "gateway-b"}
    assert {port for _, port in upstreams} == {"8080", "2575"}
    inside = {row.rpartition(":")[2] for row in SERVICES["proxy"]["ports"]}
    assert inside == set(re.findall(r"listen (\d+)(?: ssl)?;", PROXY))


def test_the_proxy_keeps_patients_out_of_its_log_and_off_its_disk() -> None:
    (shown,) = re.findall(r"log_format \w+ '([^']+)'", PROXY)
    assert not re.search(r"\$(request|request_uri|uri|args|query_string|http_\w+|document_uri)\b", shown)
    assert "proxy_max_temp_file_size 0;" in PROXY
    assert "gzip off;" in PROXY
    assert "error_log stderr crit;" in PROXY
    assert "proxy_cache" not in PROXY
    assert re.search(r"ssl_protocols\s+TLSv1\.2 TLSv1\.3;", PROXY)


def test_braces_are_closed() -> None:
    text = re.sub(r"#.*", "", PROXY)
    assert text.count("{") == text.count("}")


NGINX: Final = shutil.which("nginx")


def _proxy_files(directory: Path, authority: Authority, ports: dict[str, int], gateways: list[str]) -> Path:
    """The configuration as it is shipped, with the addresses, files and ports of this machine in it."""
    served = authority.issue("localhost")
    directory.chmod(0o755)  # nginx gives up root, and must still reach its files
    module = Path(NGINX or "").parent.parent / "lib/nginx/modules/ngx_stream_module.so"  # static in the image
    changes = {
        " /tmp/": f" {directory}/",
        "/run/secrets/proxy_certificate": str(served.certificate),
        "/run/secrets/proxy_key": str(served.key),
        "/run/secrets/sources_ca": str(authority.file),
        "/etc/nginx/gateway.conf": str(directory / "gateway.conf"),
        "/dev/stdout": str(directory / "access.log"),
        "gateway-a:8080": gateways[0],
        "gateway-b:8080": gateways[1],
        "gateway-a:2575": gateways[0],
        "gateway-b:2575": gateways[1],
        "listen 4430": f"listen 127.0.0.1:{ports['clients']}",
        "listen 8443": f"listen 127.0.0.1:{ports['sources']}",
        "listen 2575": f"listen 127.0.0.1:{ports['feeds']}",
        "127.0.0.1:8081": f"127.0.0.1:{ports['health']}",
    }
    for name in ("nginx.conf", "gateway.conf"):
        text = (DEPLOY / "proxy" / name).read_text(encoding="utf-8")
        for old, new in changes.items():
            text = text.replace(old, new)
        if name == "nginx.conf" and module.exists():
            text = f"load_module {module};\n{text}"
        (directory / name).write_text(text, encoding="utf-8")
    return directory / "nginx.conf"


@asynccontextmanager
async def _proxied(directory: Path, authority: Authority) -> AsyncIterator[dict[str, int]]:
    async def answer(request: Request) -> JSONResponse:
        return JSONResponse({"forwarded": request.headers.get("x-forwarded-for", "")})

    doors = [Hosted(), Hosted()]
    free = [Hosted() for _ in range(4)]
    ports = {
        name: int(urlsplit(one.base).port or 0)
        for name, one in zip(("clients", "sources", "feeds", "health"), free, strict=True)
    }
    for one in free:
        await one.stop()
    for door in doors:
        await door.start(Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST"])]))
    addresses = [door.base.removeprefix("http://") for door in doors]
    config = _proxy_files(directory, authority, ports, addresses)
    command = [
        NGINX or "",
        "-c",
        str(config),
        "-p",
        str(directory),
        "-e",
        str(directory / "error.log"),
        "-g",
        "daemon off;",
    ]
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
    try:
        for _ in range(100):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", ports["health"])
                writer.close()
                break
            except OSError:
                await asyncio.sleep(0.05)
        yield ports
    finally:
        process.terminate()
        await process.wait()
        for door in doors:
            await door.stop()


@pytest.mark.anyio
@pytest.mark.network
@pytest.mark.slow
@pytest.mark.skipif(NGINX is None, reason="needs nginx on the path")
async def test_the_proxy_opens_to_certified_sources_only(tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path / "ca"), Authority(tmp_path / "stranger")
    trusting = ssl.create_default_context(cafile=str(authority.file))
    async with _proxied(tmp_path, authority) as ports:
        async with httpx2.AsyncClient(verify=trusting, timeout=60) as client:
            spoofed = {"X-Forwarded-For": "203.0.113.9"}
            said = await client.get(
                f"https://localhost:{ports['clients']}/fhir/metadata?identifier=999990019", headers=spoofed
            )
            assert (said.status_code, said.json()["forwarded"]) == (200, "127.0.0.1")
            assert (await client.get(f"https://localhost:{ports['sources']}/fhir/metadata")).status_code == 400
            assert (await client.get(f"http://127.0.0.1:{ports['health']}/health/live")).status_code == 200
        for issuer, status in ((authority, 200), (stranger, 400)):
            shown = issuer.issue("source.example")
            certified = ssl.create_default_context(cafile=str(authority.file))
            certified.load_cert_chain(shown.certificate, shown.key)
            async with httpx2.AsyncClient(verify=certified, timeout=60) as source:
                assert (
                    await source.post(f"https://localhost:{ports['sources']}/fhir/List", content=b"{}")
                ).status_code == status
        _, feed = await asyncio.open_connection("127.0.0.1", ports["feeds"])
        feed.close()
    log = (tmp_path / "access.log").read_text(encoding="utf-8")
    assert log.count("\n") == 4
    assert "999990019" not in log
    assert "fhir" not in log
