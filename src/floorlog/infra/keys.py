"""Keys: one of the deployment's own, for what AWS's own keys may not or should not encrypt."""

from dataclasses import dataclass

from cdktn_provider_aws.kms_alias import KmsAlias
from cdktn_provider_aws.kms_key import KmsKey

from floorlog.infra.part import Room, allow, policy


@dataclass(frozen=True)
class Keys:
    """The deployment's key."""

    arn: str


def keys(room: Room, account: str) -> Keys:
    """A key for logs, secrets, cache, database and alarms, turned over every year."""
    region = room.parameters.aws_region
    usual = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*",
             "kms:ReEncrypt*"]  # fmt: skip
    root = {"AWS": f"arn:aws:iam::{account}:root"}
    # CloudWatch Logs says no source account: it gives the log group as encryption context.
    groups = {"kms:EncryptionContext:aws:logs:arn": f"arn:aws:logs:{region}:{account}:*"}
    document = policy(
        allow("Account", ["kms:*"], "*", Principal=root),
        allow(
            "Logs",
            usual,
            "*",
            Principal={"Service": f"logs.{region}.amazonaws.com"},
            Condition={"ArnLike": groups},
        ),
        allow(
            "Alarms",
            ["kms:Decrypt", "kms:GenerateDataKey*"],
            "*",
            Principal={"Service": ["cloudwatch.amazonaws.com", "sns.amazonaws.com"]},
            Condition={"StringEquals": {"aws:SourceAccount": account}},
        ),
        *_deliveries(room, account),
    )
    key = room.add(
        KmsKey,
        "key",
        "encrypts logs, secrets, cache, database and alarms; turned over every year",
        usage={"kms key": 1},
        description=room.name("iot-key"),
        enable_key_rotation=True,
        deletion_window_in_days=7 if room.parameters.throw_away else 30,
        policy=document,
        tags={"Name": room.name("iot-key")},
    )
    room.add(
        KmsAlias,
        "key-alias",
        "the key's name",
        name=f"alias/{room.name('iot-key')}",
        target_key_id=key.key_id,
    )
    return Keys(key.arn)


def _deliveries(room: Room, account: str) -> list[dict[str, object]]:
    """What the balancer's log is encrypted by, where there is one."""
    if not room.parameters.page_url:
        return []
    return [
        allow(
            "AccessLog",
            ["kms:Decrypt", "kms:GenerateDataKey*"],
            "*",
            Principal={"Service": "delivery.logs.amazonaws.com"},
            Condition={"StringEquals": {"aws:SourceAccount": account}},
        )
    ]
