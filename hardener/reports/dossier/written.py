"""A dossier on disk: the page, its JSON, and their signatures; all of them, or none."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hardener.config.dossier_record import Dossier
from hardener.config.files import check_writable, write_json, write_text, written_whole
from hardener.errors import HardenerError
from hardener.reports.dossier.identity import verify_command
from hardener.reports.dossier.page import dossier_page
from hardener.reports.dossier.signature import ENDING, signature_of

if TYPE_CHECKING:
    from minisign import SecretKey


def check_page(page: Path) -> None:
    """Refuse a place where no page can be written, before anything is read.

    Raises:
        HardenerError: it is no file .html, its folder is not there, or what is there may not be written.
    """
    if page.suffix != ".html":
        raise HardenerError(f"--out names the page, a file .html; got {page}.")
    if not page.parent.is_dir():
        raise HardenerError(f"no such folder: {page.parent}, for --out {page}.")
    check_writable(page, page.with_suffix(".json"))


def write_dossier(dossier: Dossier, page: Path, key: SecretKey | None) -> list[Path]:
    """Write the page, the JSON beside it and, with a key, a signature of each; return what was written.

    An older signature beside a file that is written anew without a key is removed, since it is of another file.
    """
    signed = None if key is None else verify_command(page)
    text = dossier_page(dossier, file=page.name, signed=signed)
    beside = page.with_suffix(".json")
    write_json(beside, dossier.model_dump(mode="json", by_alias=True))
    write_text(page, text)
    written = [page, beside]
    for file in (page, beside):
        signature = file.with_name(file.name + ENDING)
        if key is None:
            signature.unlink(missing_ok=True)
            continue
        said = f"dossier of {dossier.identity.run}, {dossier.created_at}, file:{file.name}"
        with written_whole(signature) as place:
            place.write_bytes(signature_of(key, file.read_bytes(), said))
        written.append(signature)
    return written
