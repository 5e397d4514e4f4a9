"""Database: the record itself, in two zones, encrypted, backed up, and hard to lose."""

from dataclasses import dataclass

from cdktn_provider_aws.cloudwatch_log_group import CloudwatchLogGroup
from cdktn_provider_aws.db_instance import DbInstance
from cdktn_provider_aws.db_parameter_group import DbParameterGroup
from cdktn_provider_aws.db_subnet_group import DbSubnetGroup
from cdktn_provider_aws.iam_role import IamRole
from cdktn_provider_aws.iam_role_policy_attachment import IamRolePolicyAttachment

from floorlog.infra.firewall import Firewall
from floorlog.infra.keys import Keys
from floorlog.infra.network import Network
from floorlog.infra.part import HOURS_A_MONTH, Room, block, trust
from floorlog.infra.waivers import NO_TOKENS, SHORT_LOGS

LOGS = ("postgresql", "upgrade")
MONITORING = "arn:aws:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole"
# TLS or nothing; statements that change the schema, and slow ones, are in the log.
SETTINGS = {
    "rds.force_ssl": "1",
    "log_statement": "ddl",
    "log_min_duration_statement": "1000",
    "log_connections": "1",
    "log_disconnections": "1",
}


@dataclass(frozen=True)
class Database:
    """Where the database is, and the secret of its administrator."""

    host: str
    port: int
    name: str
    admin_secret_arn: str
    identifier: str  # "" for one that existed


def database(
    room: Room, network: Network, firewall: Firewall, keys: Keys, account: str
) -> Database:
    """PostgreSQL 15, or the existing database that the parameters name."""
    asked = room.parameters
    if asked.database_host:
        return Database(
            asked.database_host,
            asked.database_port,
            asked.database_name,
            asked.database_admin_secret_arn,
            "",
        )
    identifier = room.name("iot-postgres")
    groups = [_log_group(room, keys, identifier, log) for log in LOGS]
    watching, watcher = _watching(room, keys, account)
    made = room.add(
        DbInstance,
        "postgres",
        "the record: readings, rejects, anomalies, ledger and checkpoints",
        usage={
            f"{asked.database_class} multi-az hour": HOURS_A_MONTH,
            "database GB multi-az": asked.database_gb,
        },
        waived=(NO_TOKENS,),
        identifier=identifier,
        engine="postgres",
        engine_version="15",
        instance_class=asked.database_class,
        db_name=asked.database_name,
        port=asked.database_port,
        username="iotadmin",
        manage_master_user_password=True,
        master_user_secret_kms_key_id=keys.arn,
        db_subnet_group_name=_subnets(room, network),
        parameter_group_name=_settings(room),
        vpc_security_group_ids=[firewall.rds],
        publicly_accessible=False,
        multi_az=True,
        ca_cert_identifier="rds-ca-rsa2048-g1",
        enabled_cloudwatch_logs_exports=list(LOGS),
        **_storage(room, keys),
        **watching,
        **_keeping(room),
        depends_on=[*groups, watcher],
    )
    secret = made.master_user_secret.get(0).secret_arn
    return Database(made.address, asked.database_port, asked.database_name, secret, identifier)


def _storage(room: Room, keys: Keys) -> dict[str, object]:
    asked = room.parameters
    return {
        "allocated_storage": asked.database_gb,
        "max_allocated_storage": asked.database_gb_max,
        "storage_type": "gp3",
        "storage_encrypted": True,
        "kms_key_id": keys.arn,
    }


def _keeping(room: Room) -> dict[str, object]:
    """What makes the record hard to lose; all of it goes with `throw_away`."""
    asked = room.parameters
    final = room.name("iot-postgres-final")
    return {
        "backup_retention_period": asked.backup_days,
        "backup_window": "02:00-03:00",
        "maintenance_window": "sun:03:30-sun:04:30",
        "copy_tags_to_snapshot": True,
        "auto_minor_version_upgrade": True,
        "apply_immediately": True,  # whoever applies wants it now; the tasks bear a fail-over
        "deletion_protection": not asked.throw_away,
        "skip_final_snapshot": asked.throw_away,
        "final_snapshot_identifier": None if asked.throw_away else final,
        "delete_automated_backups": asked.throw_away,
    }


def _watching(
    room: Room, keys: Keys, account: str
) -> tuple[dict[str, object], IamRolePolicyAttachment]:
    """What is reported of it, and the policy without which RDS refuses to report."""
    role = room.add(
        IamRole,
        "monitoring-role",
        "lets RDS report what the database's machine does",
        name=room.name("rds-monitoring-role"),
        assume_role_policy=trust("monitoring.rds.amazonaws.com", account),
    )
    attached = room.add(
        IamRolePolicyAttachment,
        "monitoring-policy",
        "AWS's own policy for that",
        role=role.name,
        policy_arn=MONITORING,
    )
    watching = {
        "monitoring_interval": 60,
        "monitoring_role_arn": role.arn,
        "performance_insights_enabled": True,
        "performance_insights_retention_period": 7,
        "performance_insights_kms_key_id": keys.arn,
    }
    return watching, attached


def _subnets(room: Room, network: Network) -> str:
    group = room.add(
        DbSubnetGroup,
        "db-subnets",
        "the database lies in the private subnets",
        name=room.name("iot-db-subnet-group"),
        subnet_ids=network.private,
    )
    return str(group.name)


def _settings(room: Room) -> str:
    group = room.add(
        DbParameterGroup,
        "db-settings",
        "TLS is enforced; slow and schema-changing statements are logged",
        name=room.name("iot-postgres-settings"),
        family="postgres15",
        parameter=[
            block(name=name, value=value, apply_method="immediate")
            for name, value in SETTINGS.items()
        ],
    )
    return str(group.name)


def _log_group(room: Room, keys: Keys, identifier: str, log: str) -> CloudwatchLogGroup:
    """Made here, because the one that RDS would make keeps logs for ever, unencrypted."""
    return room.add(
        CloudwatchLogGroup,
        f"db-log-{log}",
        f"the database's log `{log}`",
        waived=(SHORT_LOGS,),
        name=f"/aws/rds/instance/{identifier}/{log}",
        retention_in_days=room.parameters.log_days,
        kms_key_id=keys.arn,
    )
