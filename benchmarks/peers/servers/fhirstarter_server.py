"""fhirstarter as its example shows it: a provider per type, resources as models in a dictionary, served by uvicorn."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import uvicorn
from fhir.resources.R4B import get_fhir_model_class
from fhirstarter import FHIRProvider, FHIRStarter, InteractionContext
from fhirstarter.exceptions import FHIRResourceNotFoundError

kept: dict[str, object] = {}
for path, resource in json.loads(Path(sys.argv[1]).read_text()).items():
    kept[path] = get_fhir_model_class(resource["resourceType"]).model_validate(resource)


def reader(kind: str, model: type) -> object:
    """The read interaction of one type, annotated as fhirstarter wants it."""

    async def read(context: InteractionContext, id_: str) -> object:  # noqa: ARG001 - the name fhirstarter looks for
        found = kept.get(f"{kind}/{id_}")
        if found is None:
            raise FHIRResourceNotFoundError
        return found

    read.__annotations__ = {"context": InteractionContext, "id_": str, "return": model}
    return read


app = FHIRStarter()
for kind in sorted({path.partition("/")[0] for path in kept}):
    provider, model = FHIRProvider(), get_fhir_model_class(kind)
    provider.read(model)(reader(kind, model))
    app.add_providers(provider)

uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), access_log=False, log_level="warning")
