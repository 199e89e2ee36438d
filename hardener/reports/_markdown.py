"""Text of others in Markdown."""

from __future__ import annotations


def text(sentence: str) -> str:
    """Keep what comes from elsewhere from being read as markup."""
    return sentence.replace("<", "&lt;").replace("\n", " ")


def cell(words: str) -> str:
    """The same inside a table."""
    return text(words).replace("|", "\\|")
