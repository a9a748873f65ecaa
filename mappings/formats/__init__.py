"""Readers of source formats: bytes in, a tree of plain values out, nothing interpreted."""
