"""`$validate`: a caller sends a resource and is told what is wrong with it; nothing is kept but the fact that it was asked."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from consent.scopes import covers
from gateway.audit.journal import recorded
from gateway.authentication import authenticate
from gateway.errors import Invalid, Refused
from gateway.fhir.findings import findings
from gateway.fhir.reading import accepts, body_of, url_parameters
from gateway.intake.judging import judge_resource, profile_set
from gateway.model import Incoming, Json, Outgoing
from gateway.ports import Ports
from profiles import exact
from profiles.issue import Issue, issue

if TYPE_CHECKING:
    from profiles.judgement import Verdict
    from profiles.terminology import Question as Coding

# Spec: FHIR R4 'resource-validation-mode'.
MODES: Final = ("create", "update", "delete", "profile")
_KNOWN: Final = frozenset({"profile", "mode", "_format", "_pretty"})
_LARGE_BYTES: Final = 32_768  # beyond this the work leaves the event loop
_LETTERS: Final = "cruds"


async def validate(incoming: Incoming, type_: str, ports: Ports) -> Outgoing:
    """Judge the resource in the body; 200 with an OperationOutcome, whatever it says.

    Raises:
        GatewayError: token, scope, or a body that cannot be read.

    Spec: FHIR R4 Resource-validate.
    """
    async with recorded(incoming, ports, "validate", "E", type_) as record:
        record.caller = caller = await authenticate(incoming, ports)
        person, launch = bool(caller.requester.person), bool(caller.launch)
        if not any(covers(caller.scopes, type_, one, person=person, launch_patient=launch) for one in _LETTERS):
            raise Refused("scope-insufficient", needed=f"{type_}.r")
        resource, mode, profiles = _asked(incoming)
        record.query = "mode&profile" if profiles else "mode"
        verdict = await judged(resource, profiles, ports, len(incoming.body))
        record.status = 200
        issues = (*_of_type(resource, type_), *_of_mode(mode), *verdict.issues)
        return Outgoing(200, exact.encode(findings(issues, incoming.language, profile_set())))


async def judged(resource: Json, profiles: tuple[str, ...], ports: Ports, size_bytes: int) -> Verdict:
    """Judge in two phases: what cannot be known here is asked of the terminology server, when there is one."""
    now = ports.now()

    async def once(known: Mapping[Coding, bool]) -> Verdict:
        if size_bytes > _LARGE_BYTES:
            return await asyncio.to_thread(judge_resource, resource, profiles, known, now=now)
        return judge_resource(resource, profiles, known, now=now)

    verdict = await once({})
    if verdict.questions and ports.terminology is not None:
        answers = await ports.terminology.members(verdict.questions)
        if answers:
            verdict = await once(answers)
    return verdict


def _asked(incoming: Incoming) -> tuple[Json, str, tuple[str, ...]]:
    """Read resource, mode and profiles, from the body alone or from Parameters and URL."""
    url = url_parameters(incoming)
    accepts(incoming, url)
    for name, _ in url:
        if name not in _KNOWN:
            raise Invalid("unknown-parameter", name=name[:40], type="$validate", known=", ".join(sorted(_KNOWN)))
    modes = [value for name, value in url if name == "mode"]
    profiles = [value for name, value in url if name == "profile"]
    resource = body_of(incoming)
    if resource.get("resourceType") == "Parameters" and _is_question(resource):
        given = [one for one in resource["parameter"] if isinstance(one, dict)]
        modes += [str(one.get("valueCode", "")) for one in given if one.get("name") == "mode"]
        named = [one for one in given if one.get("name") == "profile"]
        profiles += [str(one.get("valueUri") or one.get("valueCanonical") or "") for one in named]
        resources = [one["resource"] for one in given if one.get("name") == "resource" and "resource" in one]
        if len(resources) != 1 or not isinstance(resources[0], dict):
            raise Invalid("invalid-resource", expression="Parameters.parameter", why="give one parameter 'resource'")
        resource = resources[0]
    if len(modes) > 1 or (modes and modes[0] not in MODES):
        raise Invalid("invalid-parameter", name="mode", why=f"one of {', '.join(MODES)}")
    if modes == ["profile"] and not profiles:
        raise Invalid("invalid-parameter", name="profile", why="mode=profile needs a profile")
    return resource, modes[0] if modes else "", tuple(profiles)


def _is_question(parameters: Json) -> bool:
    given = parameters.get("parameter")
    return isinstance(given, list) and any(isinstance(one, dict) and one.get("name") == "resource" for one in given)


def _of_type(resource: Json, type_: str) -> tuple[Issue, ...]:
    """The resource must be of the type in the path."""
    if resource.get("resourceType") == type_:
        return ()
    return (issue("profile-of-another-type", "resourceType", type_),)


def _of_mode(mode: str) -> tuple[Issue, ...]:
    """What is asked beyond the content: the gateway lets nobody delete a clinical resource."""
    return (issue("mode-delete", ""),) if mode == "delete" else ()
