"""The door to the validator: it is large, so it is loaded when the first resource is judged."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from gateway.model import Json

if TYPE_CHECKING:
    from profiles.judgement import Verdict
    from profiles.terminology import Question


def judge_resource(
    resource: Json,
    profiles: tuple[str, ...] = (),
    known: Mapping[Question, bool] | None = None,
    *,
    now: datetime,
) -> Verdict:
    """Judge a resource by the profile set that is shipped; never raises. See `profiles.judgement.judge`."""
    from profiles.judgement import judge  # noqa: PLC0415 - see above
    from profiles.library import shipped  # noqa: PLC0415 - see above

    return judge(resource, shipped(), profiles, known or {}, now)


def profile_set() -> str:
    """The name of that profile set."""
    from profiles.library import shipped  # noqa: PLC0415 - see above

    return shipped().name
