"""The version of the gateway, stamped on documents, records and the CapabilityStatement."""

__version__ = "0.1.0"
