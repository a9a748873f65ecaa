"""Tests of the room `gateway.storage`."""
