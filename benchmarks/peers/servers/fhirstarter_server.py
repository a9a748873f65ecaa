"""fhirstarter as its example shows it: a provider per type, resources as models in a dictionary, served by uvicorn."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import uvicorn
from fhir.resources.R4B import get_fhir_model_class
from fhirstarter import FHIRProvider, FHIRStarter, InteractionContext
from fhirstarter.exceptions import FHIRResourceNotFoundError

kept: dict = {}
for path, resource in json.loads(Path(sys.argv[1]).read_text()).items():
    kept[path] = get_fhir_model_class(resource["resourceType"]).model_validate(resource)

app = FHIRStarter()
for kind in sorted({path.partition("/")[0] for path in kept}):
    provider, model = FHIRProvider(), get_fhir_model_class(kind)

    async def read(context: InteractionContext, id_: str, kind: str = kind):  # noqa: ANN201 - given below
        found = kept.get(f"{kind}/{id_}")
        if found is None:
            raise FHIRResourceNotFoundError
        return found

    def made(kind: str = kind):  # noqa: ANN201 - the closure of one type
        async def read_one(context: InteractionContext, id_: str):  # noqa: ANN202 - given below
            return await read(context, id_, kind)

        return read_one

    reader = made()
    reader.__annotations__ = {"context": InteractionContext, "id_": str, "return": model}
    provider.read(model)(reader)
    app.add_providers(provider)

uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), access_log=False, log_level="warning")
