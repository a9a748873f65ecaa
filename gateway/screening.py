"""Decide for each item that came back: is it asked, permitted, and safe to show; supporting items follow the items they support."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

import msgspec

from consent.categories import REVIEWED, types_of_category
from consent.scopes import satisfies
from gateway.errors import Unavailable
from gateway.membership import SUPPORTING, supported, supports
from gateway.model import Answer, Failure, Incident, Item, Told
from gateway.standing import Standing
from profiles import exact

log: Final = logging.getLogger("gateway.screening")

# Elements that are masked while the rest of the resource is shown.
_CONTACT: Final = {"Patient": {"address", "telecom", "contact"}, "RelatedPerson": {"address", "telecom"}}
# Confidentiality of a report that everybody in care may read, and obligations that take a part away.
_ORDINARY: Final = frozenset({"U", "L", "M", "N"})
_PARTIAL: Final = frozenset({"mask", "scope-constraint"})


def screen(items: Iterable[Item], answer: Answer, standing: Standing) -> None:
    """Put the items that may be shown into the answer.

    INVARIANT: every item is decided for itself, however it got here; what is refused leaves no trace but
    its category's state. A second, dumb guard drops anything of another patient or of a category nobody asked.
    """
    kept: list[Item] = []
    supporting: dict[str, Item] = {}
    refused: dict[str, Told] = {}
    asked, told, patient = standing.question.types, answer.told, standing.of.id
    for item in items:
        if _supports(item):
            supporting[f"{item.type}/{item.id}"] = item
        elif item.type not in asked or item.category not in told:
            continue
        elif item.patient != patient:
            answer.incidents.append(Incident("wrong-patient", answer.source, item.type))
        else:
            decision = standing.share_item(answer.custodian, item)
            if item.type == "Composition" and not _may_tell_all(item, answer, standing):
                continue
            if not decision.permitted:
                if told[item.category].state == "answered":
                    refused[item.category] = Told("refused", decision)
            elif decision.obligations:
                kept.extend(_obliged(item, decision.obligations, answer, standing))
            else:
                kept.append(item)
    if refused:
        shown = {item.category for item in kept}
        told.update({category: one for category, one in refused.items() if category not in shown})
    answer.items.extend(kept)
    answer.items.extend(supported(kept, supporting))


def _may_tell_all(item: Item, answer: Answer, standing: Standing) -> bool:
    """Claim that a report may be shown: its words can be about anything, so everything must be permitted, without a mask."""
    if item.resource.get("confidentiality", "N") not in _ORDINARY:
        answer.incidents.append(Incident("masked", answer.source, item.type))
        return False
    decisions = (
        standing.share_item(answer.custodian, msgspec.structs.replace(item, category=category))
        for category in answer.told
    )
    return all(decision.permitted and not decision.obligations & _PARTIAL for decision in decisions)


def _obliged(item: Item, obligations: frozenset[str], answer: Answer, standing: Standing) -> list[Item]:
    """Do what the decision obliges to: apply the constraint of a scope, mask what is masked by default (rule E11)."""
    if "scope-constraint" in obligations and not satisfies(item.resource, standing.constraints(item.type)):
        return []
    if "mask" not in obligations:
        return [item]
    if item.type in _CONTACT:  # who the person is stays; where they live and can be reached does not
        shown = {name: value for name, value in item.resource.items() if name not in _CONTACT[item.type]}
        return [msgspec.structs.replace(item, raw=exact.encode(shown), _resource=shown)]
    answer.incidents.append(Incident("masked", answer.source, item.type))
    return []


def screen_again(answers: Iterable[Answer], standing: Standing) -> None:
    """Decide everything that came back once more, because something was said in the meantime (rule C5)."""
    asked = frozenset(standing.question.types)
    for answer in answers:
        for category, told in list(answer.told.items()):
            types = sorted(types_of_category(category) & asked)
            decisions = [standing.share(answer.custodian, category, type_) for type_ in types]
            if told.state == "refused" or not decisions or any(one.permitted for one in decisions):
                continue
            word = "not-checkable" if decisions[0].outcome == "unavailable" else ""
            answer.told[category] = Told("failed" if word else "refused", decisions[0], word)
        items, answer.items = answer.items, []
        screen((one for one in items if _supports(one) or one.category in answer.open_categories), answer, standing)


def vouch(answers: Iterable[Answer], patient: str) -> set[str]:
    """Refuse the whole answer when anything in it is of somebody else, or of a category nobody permitted.

    The second guard: it knows nothing of statements, agreements or screening, and trusts none of them. Gives the
    custodians of what is specially protected: who looked at that is looked at (rule E11).

    Raises:
        Unavailable: `internal`; nothing leaves.
    """
    protected: set[str] = set()
    for answer in answers:
        allowed = {name for name, told in answer.told.items() if told.decision is not None and told.decision.permitted}
        for item in answer.items:
            if item.labels and item.labels & REVIEWED:
                protected.add(answer.custodian.organization)
            if item.patient != patient or not (item.category in allowed or _supports(item)):
                log.critical("an item that may not be shown came to the door", extra={"source": answer.source})
                raise Unavailable("internal")
    return protected


def fail(answer: Answer, failures: Iterable[Failure]) -> None:
    """Mark the categories that did not come; one that was refused stays refused."""
    for failure in failures:
        for category, told in list(answer.told.items()):
            if told.state == "answered" and (category in failure.categories or "*" in failure.categories):
                answer.told[category] = Told("failed", told.decision, failure.code)


def _supports(item: Item) -> bool:
    return item.type in SUPPORTING or (item.type == "Device" and supports(item.resource))
