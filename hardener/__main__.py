"""`python -m hardener`, and what torchrun starts."""

from __future__ import annotations


def main() -> None:
    """Run the command line."""
    from hardener.cli.app import run

    run()


if __name__ == "__main__":
    main()
