"""The cache: last value per series and the page's live feed, a view that may vanish at any time."""

from floorlog.cache.connection import CacheError, Connection, Endpoint
from floorlog.cache.last_values import LastValues
from floorlog.cache.live import Changed, Heard, Lost, Quiet, Whole, listen, read_all
from floorlog.cache.log_in import endpoint_of
from floorlog.cache.shape import CHANNEL, KEY, Last, LiveAnomaly

__all__ = [
    "CHANNEL",
    "KEY",
    "CacheError",
    "Changed",
    "Connection",
    "Endpoint",
    "Heard",
    "Last",
    "LastValues",
    "LiveAnomaly",
    "Lost",
    "Quiet",
    "Whole",
    "endpoint_of",
    "listen",
    "read_all",
]
