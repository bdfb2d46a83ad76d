"""Secrets at rest: encrypted under a key derived from ``SECRET_KEY``, never shown again.

Fernet (AES-128-CBC with HMAC-SHA-256). ``SECRET_KEY_FALLBACKS`` are tried for reading, so that the key
can be changed; what is written is written under the present one.
"""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from typing import Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

_CONTEXT: Final = b"agent_factory secrets at rest 1"


class SecretLost(ValueError):
    """A secret that this ``SECRET_KEY`` does not open: it has to be set again."""


def encrypt(text: str) -> str:
    """``text`` so that only this installation can read it; another token each time."""
    return _ciphers(settings.SECRET_KEY, ()).encrypt(text.encode()).decode()


def decrypt(token: str) -> str:
    """What :func:`encrypt` was given; raises :class:`SecretLost` where ``SECRET_KEY`` is another."""
    try:
        return _ciphers(settings.SECRET_KEY, tuple(settings.SECRET_KEY_FALLBACKS)).decrypt(token).decode()
    except InvalidToken:
        raise SecretLost("This secret was kept under another SECRET_KEY: set it again.") from None


@lru_cache(maxsize=8)
def _ciphers(key: str, former: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(_derived(each)) for each in (key, *former)])


def _derived(key: str) -> bytes:
    digest = hashlib.blake2b(key.encode(), digest_size=32, key=_CONTEXT).digest()
    return base64.urlsafe_b64encode(digest)
