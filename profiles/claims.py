"""Which profiles a resource is held to: those it claims, those that are asked, and those its code makes mandatory."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files

from profiles.exact import Json
from profiles.review import Review
from profiles.walk import Path

_LOINC = "http://loinc.org"


def asked_profiles(value: Json, at: Path, wanted: tuple[str, ...], review: Review) -> list[str]:
    """Give the profiles to check, each once; a profile that is not known is remarked."""
    found: dict[str, None] = {}
    meta = value.get("meta")
    claims = meta.get("profile", ()) if meta is not None else ()
    library = review.whole.library
    for n, claim in enumerate(claims):
        if claim is None or library.type_of(claim) is None:
            review.remark("profile-unknown", (((at, ".meta"), ".profile"), n))
        else:
            found[claim] = None
    for profile in wanted:
        if library.type_of(profile) is None:
            # Who asks for a profile by name may not get a yes without it.
            review.add("profile-asked-unknown", at, profile)
        else:
            found[profile] = None
    if value["resourceType"] == "Observation":
        for profile in _by_code(value):
            found.setdefault(profile)
    return list(found)


def _by_code(observation: Json) -> list[str]:
    """Spec: FHIR R4 'Vital Signs Profile': these codes SHALL conform, whether the resource claims it or not."""
    codings = observation.get("code", {}).get("coding", ())
    table = vital_signs()
    return [
        table[coding["code"]] for coding in codings if coding.get("system") == _LOINC and coding.get("code") in table
    ]


@cache
def vital_signs() -> dict[str, str]:
    """Give the profile that each LOINC code of a vital sign asks for."""
    text = files("profiles.definitions").joinpath("vital_signs.toml").read_text(encoding="utf-8")
    table = tomllib.loads(text)
    return {code: table["base"] + profile for profile, codes in table["profiles"].items() for code in codes}
