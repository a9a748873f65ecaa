"""The answers of all sources as one patient summary: an IPS document for systems, a page for people."""
