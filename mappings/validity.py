"""Keep only what is valid FHIR R4: a narrative or a resource that is not is left out, and said."""

from __future__ import annotations

from dataclasses import replace

from mappings.model import Json, Loss, Translation
from profiles.validation import validate


def valid_only(translation: Translation) -> Translation:
    """Leave out what no R4 receiver could read; INVARIANT: every resource that comes out passes validation."""
    kept: list[Json] = []
    keys: list[str] = []
    losses = list(translation.losses)
    for resource, key in zip(translation.resources, translation.keys, strict=True):
        errors = [issue for issue in validate(resource) if issue.is_error]
        if errors and all(".text" in issue.expression for issue in errors):
            resource.pop("text", None)
            losses.append(
                Loss(f"{resource['resourceType']}.text", "invalid", "the narrative is not XHTML as FHIR asks")
            )
            errors = [issue for issue in validate(resource) if issue.is_error]
        if errors:
            where = errors[0].expression
            losses.append(Loss(where, "invalid", f"the resource is left out: {errors[0].rule}"))
            continue
        kept.append(resource)
        keys.append(key)
    return replace(translation, resources=tuple(kept), keys=tuple(keys), losses=tuple(losses))
