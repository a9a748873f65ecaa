"""Who speaks for the patient: age bands, representatives with their proof, and until when what they say holds (rule C7)."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any, Final

from consent.dates import ZONE, span
from consent.tables import table

Json = dict[str, Any]
Finding = tuple[str, str]

_TABLE: Final = table("representation.toml")
_REPRESENTATIVE: Final[str] = _TABLE["extensions"]["representative"]
_BIRTH_DATE: Final = frozenset(_TABLE["extensions"]["birth_date"])
_PROVEN: Final = frozenset(_TABLE["proof"]["roles"])
PATIENT: Final = "patient"


@dataclass(frozen=True, slots=True)
class Band:
    """One age band: who opens and who closes."""

    name: str
    first: int  # age in years at which it begins
    opens: tuple[frozenset[str], ...]
    closes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Grantor:
    """One who speaks, as the Consent names them."""

    role: str
    proof: str = ""
    start: datetime | None = None
    end: datetime | None = None


BANDS: Final = tuple(
    Band(row["name"], row["from"], tuple(frozenset(one) for one in row["opens"]), frozenset(row["closes"]))
    for row in _TABLE["band"]
)
ROLES: Final = frozenset[str]().union(*(band.closes for band in BANDS))


def band_at(birth: date, day: date) -> Band:
    """Give the age band somebody is in on a day."""
    return [band for band in BANDS if birthday(birth, band.first) <= day or band.first == 0][-1]


def lapses(birth: date, day: date) -> datetime | None:
    """Give the moment the next band begins, at which a permit of this one lapses; None for the last."""
    later = [band for band in BANDS if birthday(birth, band.first) > day]
    return datetime.combine(birthday(birth, later[0].first), time.min, ZONE) if later else None


def birthday(birth: date, age: int) -> date:
    """Give the day somebody reaches an age; who was born on 29 February does so on 1 March.

    Spec: Dutch civil practice: the day after 28 February in a year without the 29th.
    """
    try:
        return birth.replace(year=birth.year + age)
    except ValueError:
        return date(birth.year + age, 3, 1)


def birth_date(resource: Json) -> date | None:
    """Read the birth date a Consent states for its patient; None when it states none.

    Raises:
        ValueError: it is not a whole date.
    """
    patient = resource.get("patient")
    for holder in (resource, patient if isinstance(patient, dict) else {}):
        for extension in _extensions(holder):
            if extension.get("url") in _BIRTH_DATE:
                return date.fromisoformat(extension["valueDate"])
    return None


def grantors(resource: Json) -> tuple[Grantor, ...]:
    """Read who speaks; nobody named means the patient.

    Raises:
        ValueError: a performer whose role nobody can tell.
    """
    written = resource.get("performer") or []
    return tuple(_grantor(one) for one in written) if written else (Grantor(PATIENT),)


def faults(who: Collection[Grantor], birth: date | None, said: datetime | None, *, permit: bool) -> Iterator[str]:
    """List why these people cannot say this; a permit takes more than an objection."""
    represented = any(one.role != PATIENT for one in who)
    if not permit:
        return
    if represented and birth is None:
        yield "a permit by a representative needs the patient's birth date: " + min(_BIRTH_DATE)
    for one in who:
        if one.role in _PROVEN and (not one.proof or one.end is None):
            yield f"a {one.role} needs proof and a period: extension {_REPRESENTATIVE}"
        if said is not None and ((one.start and said < one.start) or (one.end and one.end <= said)):
            yield f"the representation by this {one.role} is not in force on the day it was said"
    if birth is None:
        return
    if said is None:
        yield "with a birth date, Consent.dateTime says at which age it was given"
        return
    band = band_at(birth, said.astimezone(ZONE).date())
    roles = {one.role for one in who}
    for needed in band.opens:
        if not needed & roles:
            yield f"at this age a permit needs {' or '.join(sorted(needed))} among Consent.performer"


def ends(who: Collection[Grantor], birth: date | None, said: datetime | None) -> datetime | None:
    """Give the moment a permit of these people lapses: a birthday, or the end of a representation."""
    moments = [one.end for one in who if one.end is not None]
    if birth is not None and said is not None:
        band_end = lapses(birth, said.astimezone(ZONE).date())
        moments += [band_end] if band_end else []
    return min(moments, default=None)


def is_firm(birth: date | None, said: datetime | None) -> bool:
    """Claim that an objection of one stands whatever another permits: as long as more than one person has a say."""
    return birth is not None and said is not None and lapses(birth, said.astimezone(ZONE).date()) is not None


def _grantor(reference: Json) -> Grantor:
    for extension in _extensions(reference):
        if extension.get("url") == _REPRESENTATIVE:
            return _representative(extension)
    kind = reference.get("type") or str(reference.get("reference", "")).rpartition("/")[0].rpartition("/")[2]
    if kind == "Patient":
        return Grantor(PATIENT)
    message = f"a performer is the Patient, or carries extension {_REPRESENTATIVE}"
    raise ValueError(message)


def _representative(extension: Json) -> Grantor:
    said = {one.get("url"): one for one in _extensions(extension)}
    role = said.get("role", {}).get("valueCode", "")
    if role not in ROLES - {PATIENT}:
        message = f"the role of a representative is one of {', '.join(sorted(ROLES - {PATIENT}))}"
        raise ValueError(message)
    period = said.get("period", {}).get("valuePeriod", {})
    start = span(period["start"])[0] if "start" in period else None
    end = span(period["end"])[1] if "end" in period else None
    return Grantor(role, str(said.get("proof", {}).get("valueString", "")), start, end)


def _extensions(holder: Json) -> Iterator[Json]:
    written = holder.get("extension")
    yield from (one for one in written if isinstance(one, dict)) if isinstance(written, list) else ()
