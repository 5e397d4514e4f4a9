"""Cache: the last value of every series; a view, which the record can fill again."""

from dataclasses import dataclass

from cdktn_provider_aws.elasticache_replication_group import ElasticacheReplicationGroup
from cdktn_provider_aws.elasticache_subnet_group import ElasticacheSubnetGroup
from cdktn_provider_aws.elasticache_user import ElasticacheUser
from cdktn_provider_aws.elasticache_user_group import ElasticacheUserGroup

from floorlog.infra.firewall import REDIS_PORT, Firewall
from floorlog.infra.keys import Keys
from floorlog.infra.network import Network
from floorlog.infra.part import HOURS_A_MONTH, Room

# Just the keys, channel and commands of floorlog.cache; one hash tag, so one slot.
ACCESS = (
    "on ~{floorlog}* resetchannels &{floorlog}* -@all +eval +hget +hset +hmget +hgetall"
    " +publish +subscribe +ping +asking"
)


@dataclass(frozen=True)
class Cache:
    """Where the cache is, and who the tasks are there."""

    group_id: str
    endpoint: str
    arn: str
    user: str
    user_arn: str


def cache(room: Room, network: Network, firewall: Firewall, keys: Keys) -> Cache:
    """Redis 7 in cluster mode over two zones; its users log in by tokens of their role."""
    asked = room.parameters
    user, users = _users(room)
    subnets = room.add(
        ElasticacheSubnetGroup,
        "redis-subnets",
        "the cache lies in the private subnets",
        name=room.name("redis-subnet-group"),
        description="private subnets",
        subnet_ids=network.private,
    )
    nodes = 1 + asked.cache_replicas
    group = room.add(
        ElasticacheReplicationGroup,
        "redis",
        "last value of every series, for the page and other readers",
        usage={f"{asked.cache_node_type} hour": nodes * HOURS_A_MONTH},
        replication_group_id=room.name("iot-redis"),
        description="last values; a view of the record",
        engine="redis",
        engine_version="7.1",
        node_type=asked.cache_node_type,
        port=REDIS_PORT,
        parameter_group_name="default.redis7.cluster.on",
        cluster_mode="enabled",
        num_node_groups=1,
        replicas_per_node_group=asked.cache_replicas,
        automatic_failover_enabled=True,
        multi_az_enabled=True,
        at_rest_encryption_enabled="true",
        kms_key_id=keys.arn,
        transit_encryption_enabled=True,
        transit_encryption_mode="required",
        user_group_ids=[users],
        subnet_group_name=subnets.name,
        security_group_ids=[firewall.redis],
        auto_minor_version_upgrade="true",
        apply_immediately=True,
    )
    endpoint = f"{group.configuration_endpoint_address}:{REDIS_PORT}"
    return Cache(group.replication_group_id, endpoint, group.arn, user.user_name, user.arn)


def _users(room: Room) -> tuple[ElasticacheUser, str]:
    """The tasks' user and, because Redis wants one, a default user that may do nothing."""
    name = room.name("iot-processor")
    user = room.add(
        ElasticacheUser,
        "redis-user",
        "who the tasks are at the cache; a token of the task's role takes a password's place",
        user_id=name,
        user_name=name,
        engine="redis",
        access_string=ACCESS,
        authentication_mode={"type": "iam"},
    )
    nobody = room.add(
        ElasticacheUser,
        "redis-nobody",
        "the user that Redis takes a stranger for: off, and without any right",
        user_id=room.name("iot-nobody"),
        user_name="default",
        engine="redis",
        access_string="off -@all",
        authentication_mode={"type": "no-password-required"},
    )
    group = room.add(
        ElasticacheUserGroup,
        "redis-users",
        "who may log in to the cache",
        user_group_id=room.name("iot-redis-users"),
        engine="redis",
        user_ids=[user.user_id, nobody.user_id],
    )
    return user, group.id
