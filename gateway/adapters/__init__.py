"""The outside world of a running gateway: everything that opens or accepts a connection to another organization.

address.py      which network addresses may be connected to, and what an origin is
breaker.py      a source that keeps failing is left alone for a moment
http.py         outgoing HTTP, one request under one absolute deadline
connections.py  the connections under it, the only importer of aiohttp
dialects.py     which queries a source understands; the dialects themselves are data: dialects/*.toml
searchset.py    what may be read of an answer before it is translated: type, next page, patients
source_auth.py  how the gateway proves who asks: signed context, OAuth token of the source
fhir.py         one FHIR source that can be asked (port `Source`)
mllp.py         one HL7 v2 feed that pushes over MLLP
"""
