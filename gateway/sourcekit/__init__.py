"""The source kit: what a source can do before it is connected, and whether a connected one still does it.

statement.py   what a CapabilityStatement declares
support.py     which queries of a dialect a source can answer, and which dialect fits best
coverage.py    guideline element x found: the section table against what was seen
stanza.py      a `[[sources]]` table for region.toml
signatures.py  which format a file has; the signatures are data: signatures.toml
mapped.py      what the maps make of a file, and what would be lost
tls.py         who a server proves to be, and for how many days
probing.py     a probe of a URL or a file, put together
recorder.py    outgoing HTTP that keeps the time and status of every call
trial.py       every query of a source's dialect, asked the way the line asks it
report.py      both as text for people and JSON for machines
"""
