"""A client of the service: `Client`, `AsyncClient`, and the errors that they raise. It needs no large package."""

from hardener.client.client import AsyncClient, Client
from hardener.client.error import ClientError, ImageNotRead, NoAnswer, Refused, StrangeAnswer, Unavailable
from hardener.client.retry import Retry

__all__ = [
    "AsyncClient",
    "Client",
    "ClientError",
    "ImageNotRead",
    "NoAnswer",
    "Refused",
    "Retry",
    "StrangeAnswer",
    "Unavailable",
]
