"""Patch: the nodes of a replication group, which moto names but does not describe.

Documented behaviour (ElastiCache API reference): each of a replication group's MemberClusters is a
cache cluster of one node, with the group's node type and engine; DescribeCacheClusters describes
it, and it goes with its group. A group that was deleted is not found from then on.
"""

import inspect
from typing import Any

from moto.elasticache.models import CacheCluster, ElastiCacheBackend

_create = ElastiCacheBackend.create_replication_group
_delete = ElastiCacheBackend.delete_replication_group
_FIELDS = [name for name in inspect.signature(CacheCluster).parameters if name != "self"]


def apply() -> None:
    """Make and remove the nodes with their group."""
    ElastiCacheBackend.create_replication_group = _create_with_nodes
    ElastiCacheBackend.delete_replication_group = _delete_with_nodes


def _create_with_nodes(self: ElastiCacheBackend, *given: Any, **asked: Any) -> Any:
    group = _create(self, *given, **asked)
    for name in group.member_clusters:
        known = {
            "account_id": self.account_id,
            "region_name": self.region_name,
            "cache_cluster_id": name,
            "cache_node_type": asked.get("cache_node_type"),
            "replication_group_id": group.replication_group_id,
            "engine": asked.get("engine"),
            "engine_version": asked.get("engine_version"),
            "cache_parameter_group_name": asked.get("cache_parameter_group_name"),
            "cache_subnet_group_name": asked.get("cache_subnet_group_name"),
            "security_group_ids": asked.get("security_group_ids"),
        }
        self.cache_clusters[name] = CacheCluster(**{**dict.fromkeys(_FIELDS), **known})
    return group


def _delete_with_nodes(self: ElastiCacheBackend, *given: Any, **asked: Any) -> Any:
    group = _delete(self, *given, **asked)
    for name in [*group.member_clusters, *_nodes_of(self, group.replication_group_id)]:
        self.cache_clusters.pop(name, None)
    # AWS takes minutes; moto would say "deleting" for ever.
    self.replication_groups.pop(group.replication_group_id, None)
    return group


def _nodes_of(self: ElastiCacheBackend, group: str) -> list[str]:
    clusters = self.cache_clusters.items()
    return [name for name, node in clusters if node.replication_group_id == group]
