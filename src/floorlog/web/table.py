"""Every route of the API, in one table: what answers, who may ask, and the document of it all."""

from typing import Any

from floorlog.web import live
from floorlog.web.access import login
from floorlog.web.api import alarms, downloads, prometheus, reads, records
from floorlog.web.api.openapi import document
from floorlog.web.api.route import Call, Route
from floorlog.web.work import imports, replays, work


async def openapi(call: Call) -> dict[str, Any]:
    """This document."""
    del call
    return DOCUMENT


ROUTES: tuple[Route, ...] = (
    *reads.ROUTES,
    *alarms.ROUTES,
    *records.ROUTES,
    *replays.ROUTES,
    *imports.ROUTES,
    *work.ROUTES,
    *downloads.ROUTES,
    *live.ROUTES,
    *login.ROUTES,
    *prometheus.ROUTES,
    Route("GET", "/api/v1/openapi.json", openapi, None, "The document of this API", dict[str, Any]),
)
DOCUMENT = document(ROUTES)


def by_path() -> dict[str, dict[str, Route]]:
    """The routes of each address, by method."""
    found: dict[str, dict[str, Route]] = {}
    for route in ROUTES:
        found.setdefault(route.pattern, {})[route.method] = route
    return found
