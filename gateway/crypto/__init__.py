"""Signing, sealing and digests: the only room where key material is touched."""
