"""Patch: ElastiCache's user groups, which moto lacks.

Documented behaviour (ElastiCache API reference): CreateUserGroup takes an id, an engine and users
that exist, one of whom is named `default` where the engine is Redis; a group is `active` when made;
DescribeUserGroups without such an id fails with UserGroupNotFound; DeleteUserGroup takes it away.
"""

from typing import Any

from moto.core.responses import ActionResult
from moto.elasticache.exceptions import ElastiCacheException
from moto.elasticache.models import ElastiCacheBackend
from moto.elasticache.responses import ElastiCacheResponse

_list_other_tags = ElastiCacheBackend.list_tags_for_resource
_GROUPS: dict[tuple[str, str, str], dict[str, Any]] = {}


def apply() -> None:
    """Teach moto the three calls."""
    ElastiCacheResponse.create_user_group = _create
    ElastiCacheResponse.describe_user_groups = _describe
    ElastiCacheResponse.delete_user_group = _delete
    ElastiCacheBackend.list_tags_for_resource = _list_tags


def _key(self: ElastiCacheResponse, name: str) -> tuple[str, str, str]:
    return (self.current_account, self.region, name)


def _error(code: str, message: str) -> ElastiCacheException:
    found = ElastiCacheException(message)
    found.code = code
    return found


def _create(self: ElastiCacheResponse) -> ActionResult:
    asked = self._get_params()
    name, users = asked["UserGroupId"], list(asked.get("UserIds", []))
    held = {each.id: each.name for each in self.elasticache_backend.describe_users(user_id=None)}
    if missing := set(users) - set(held):
        raise _error("UserNotFound", f"User(s) not found: {', '.join(sorted(missing))}.")
    if asked["Engine"] == "redis" and "default" not in {held[user] for user in users}:
        raise _error("DefaultUserRequired", "You must add default user to a user group.")
    if _key(self, name) in _GROUPS:
        raise _error("UserGroupAlreadyExists", f"User group {name} already exists.")
    group = {
        "UserGroupId": name,
        "Status": "active",
        "Engine": asked["Engine"],
        "UserIds": users,
        "MinimumEngineVersion": "6.0",
        "ReplicationGroups": [],
        "ARN": f"arn:aws:elasticache:{self.region}:{self.current_account}:usergroup:{name}",
    }
    _GROUPS[_key(self, name)] = group
    self.elasticache_backend.tagging_service.tag_resource(group["ARN"], asked.get("Tags", []))
    return ActionResult(group)


def _found(self: ElastiCacheResponse, name: str) -> dict[str, Any]:
    if _key(self, name) not in _GROUPS:
        raise _error("UserGroupNotFound", f"User group {name} not found.")
    return _GROUPS[_key(self, name)]


def _describe(self: ElastiCacheResponse) -> ActionResult:
    name = self._get_params().get("UserGroupId")
    groups = [_found(self, name)] if name else list(_GROUPS.values())
    return ActionResult({"UserGroups": groups})


def _list_tags(self: ElastiCacheBackend, arn: str) -> dict[str, list[dict[str, str]]]:
    if ":usergroup:" in arn:
        return self.tagging_service.list_tags_for_resource(arn)
    return _list_other_tags(self, arn)


def _delete(self: ElastiCacheResponse) -> ActionResult:
    group = _found(self, self._get_params()["UserGroupId"])
    del _GROUPS[_key(self, group["UserGroupId"])]
    return ActionResult({**group, "Status": "deleting"})
