"""The REST interface over the loaded models: the endpoints that are open, and what is stacked before them."""

from __future__ import annotations

from starlette.types import ASGIApp

from .access import Access, RateLimit, allow_origins
from .client_address import BehindProxies
from .dispatcher import Dispatcher
from .in_work import InWork
from .log import RequestLog
from .observe import Observer
from .other_sites import OtherSites
from .routes import open_endpoints
from .service_state import ServiceState


def create_app(service: ServiceState, *, log: RequestLog | None = None, in_work: InWork | None = None) -> ASGIApp:
    """Make the ASGI app that answers for the loaded models, and writes a line a request into `log`.

    Args:
        in_work: hears of each request while it is in work.
    """
    endpoints = open_endpoints(service.settings)
    rate = service.settings.rate
    open_paths = {endpoint.path for endpoint in endpoints if not endpoint.needs_token}
    app: ASGIApp = Dispatcher(endpoints, service)  # the innermost
    app = Access(
        app,
        tokens=service.tokens,
        rate_limit=None if rate is None else RateLimit(rate),
        open_paths=open_paths,
    )
    if service.tokens is None:
        settings = service.settings
        app = OtherSites(app, hosts=settings.hosts, origins=settings.cors, open_paths=open_paths)
    app = allow_origins(app, service.settings.cors)
    routes = {endpoint.path: endpoint.in_log for endpoint in endpoints}
    app = Observer(app, metrics=service.metrics, routes=routes, log=log, in_work=in_work)
    return BehindProxies(app, proxies=service.settings.proxies, header=service.settings.proxy_header)
