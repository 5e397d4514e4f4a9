"""Patch: ElastiCache's subnet groups can be deleted, which moto lacks.

Documented behaviour (ElastiCache API reference): DeleteCacheSubnetGroup removes a group; one that
is unknown fails with CacheSubnetGroupNotFoundFault.
"""

from moto.core.responses import ActionResult
from moto.elasticache.exceptions import CacheSubnetGroupNotFound
from moto.elasticache.responses import ElastiCacheResponse


def apply() -> None:
    """Teach moto the call."""
    ElastiCacheResponse.delete_cache_subnet_group = _delete


def _delete(self: ElastiCacheResponse) -> ActionResult:
    name = self._get_params()["CacheSubnetGroupName"]
    if self.elasticache_backend.cache_subnet_groups.pop(name, None) is None:
        raise CacheSubnetGroupNotFound(name)
    return ActionResult({})
