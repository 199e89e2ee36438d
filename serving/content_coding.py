"""A body that was packed on its way (`Content-Encoding: gzip`), unpacked piece by piece by zlib."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from .problem import Problem

PIECE = 262_144  # bytes that are unpacked at once: half a millisecond of the event loop
READ = 65_536  # packed bytes that zlib is given at once: it copies what it has not come to, piece after piece
ENCODINGS = ("gzip", "deflate")
_WINDOWS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


class Unpacker:
    """Unpacks a body as it comes.

    Note: RFC 1952 allows several members one after another. No client sends a body so, and a million empty ones would
    cost seconds, so one is taken.
    Source: RFC 9110, section 8.4.1.
    """

    def __init__(self, coding: str) -> None:
        """Begin; `coding` is one that `unpacker_for` knows."""
        self._coding = coding
        self._inflate = zlib.decompressobj(_WINDOWS[coding])

    def pieces(self, packed: bytes) -> Iterator[bytes]:
        """Unpack what came, at most `PIECE` bytes at a time, so that whoever counts them can stop.

        Raises:
            Problem: 400 it is damaged.
        """
        for start in range(0, len(packed), READ):
            rest = packed[start : start + READ]
            while rest:
                if self._inflate.eof:
                    raise self._damaged("it goes on after its end")
                try:
                    piece = self._inflate.decompress(rest, PIECE)
                except zlib.error as error:
                    raise self._damaged(str(error)) from None
                rest = self._inflate.unused_data if self._inflate.eof else self._inflate.unconsumed_tail
                yield piece

    def check_end(self) -> None:
        """See that nothing is missing.

        Raises:
            Problem: 400 it breaks off.
        """
        if not self._inflate.eof:
            raise self._damaged("it breaks off")

    def _damaged(self, how: str) -> Problem:
        return Problem(400, f"the body cannot be unpacked as {self._coding}: {how}")


def unpacker_for(content_encoding: str) -> Unpacker | None:
    """Read a Content-Encoding header; None: the body comes as it is.

    Raises:
        Problem: 415 in a way that is not unpacked, or several.
    """
    codings = [word.strip().lower() for word in content_encoding.split(",") if word.strip()]
    codings = [word for word in codings if word != "identity"]
    if not codings:
        return None
    if len(codings) > 1 or codings[0] not in _WINDOWS:
        taken = ", ".join(ENCODINGS)
        detail = (
            f"the body is packed as {content_encoding[:80]!r}; one of {taken} is unpacked, once. Send it so, or as it "
            "is, without Content-Encoding: image files are packed already."
        )
        raise Problem(415, detail, headers={"Accept-Encoding": taken})
    return Unpacker(codings[0])
