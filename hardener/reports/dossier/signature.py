"""A dossier's signature, in minisign's format, by the library of minisign's author."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from hardener.errors import HardenerError

if TYPE_CHECKING:
    from minisign import SecretKey

ENDING = ".minisig"


def read_key(path: Path, password: Callable[[], str]) -> SecretKey:
    """Read a secret key as `minisign -G` writes it.

    Args:
        password: asked where the key has one.
    Raises:
        HardenerError: minisign is not installed, no such key, or another password.
    """
    try:
        from minisign import Error, SecretKey
    except ModuleNotFoundError:
        raise HardenerError("--sign needs minisign, which is not installed: pip install 'hardener[sign]'") from None
    if not path.is_file():
        raise HardenerError(f"no key {path}. `minisign -G -s {path}` makes one; keep it to yourself.")
    try:
        key = SecretKey.from_file(path)
    except (Error, ValueError) as error:
        raise HardenerError(f"{path} is no secret key of minisign: {error}.") from None
    if key.is_encrypted():
        try:
            key.decrypt(password())
        except (Error, ValueError):
            raise HardenerError(f"the password is not that of {path}.") from None
    return key


def signature_of(key: SecretKey, content: bytes, said: str) -> bytes:
    """Return the signature of a file; `said` is signed with it, one line."""
    return bytes(key.sign(content, trusted_comment=said)) + b"\n"
