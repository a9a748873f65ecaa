"""Carry down what an act of HL7 version 3 says of everything in it: that it is denied, withdrawn, or not there at all."""

from __future__ import annotations

from typing import Final

from mappings.model import Json

HOLDERS: Final = frozenset({"act", "organizer"})  # whose parts are what they state; elsewhere parts only tell more
_STATING: Final = frozenset({"SUBJ", "COMP"})
_WITHDRAWN: Final = frozenset({"nullified", "cancelled"})
_NOTHING: Final = frozenset({"NI", "UNK", "NA", "NASK", "ASKU", "NAV"})


def carry_down(node: Json) -> None:
    """Let what an act or organizer states share its negation and withdrawal.

    Called for each of `HOLDERS` in the order of the document, so that it reaches everything below.

    INVARIANT: nothing in what is denied or withdrawn is ever read as stated.
    """
    states = [one for one in node.get("statusCode", ()) if one.get("code") in _WITHDRAWN]
    denied = node.get("negationInd") == "true"
    if not states and not denied:
        return
    for link in (*node.get("entryRelationship", ()), *node.get("component", ())):
        if link.get("typeCode", "COMP") not in _STATING:
            continue
        for below in (one for value in link.values() if isinstance(value, list) for one in value):
            if denied:
                below["negationInd"] = "true"
            if states:
                below["statusCode"] = [{"code": "nullified", "^": below}]


def is_nothing(node: Json) -> bool:
    """Claim that an act says of itself that there is no information.

    Spec: HL7 v3 RIM, nullFlavor of an Act: the act is not there, whatever is written in it.
    """
    return node.get("nullFlavor") in _NOTHING
