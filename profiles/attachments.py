"""Is what an attachment says about its data true?"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from hashlib import sha1

from profiles.instances import Instance
from profiles.review import Review


def check_attachment(instance: Instance, review: Review) -> None:
    """Check size and hash of data that is inline; of data elsewhere nothing can be said.

    Spec: FHIR R4 2.24.0.7 Attachment: 'hash: The calculated hash of the data using SHA-1. Represented using base64.';
    'size: The number of bytes of data that make up this attachment (before base64 encoding, if that is done).'
    """
    value, _, at, _ = instance
    if "data" not in value or not ("hash" in value or "size" in value):
        return
    try:
        data = b64decode(value["data"])
    except (binascii.Error, ValueError, TypeError):
        return  # the structural tier says what is wrong with it
    if "hash" in value and value["hash"] != (told := b64encode(sha1(data, usedforsecurity=False).digest()).decode()):
        review.add("attachment-hash", (at, ".hash"), told)
    if "size" in value and value["size"] != len(data):
        review.add("attachment-size", (at, ".size"), str(len(data)))
