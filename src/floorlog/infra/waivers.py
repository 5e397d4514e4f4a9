"""Checks of checkov that are failed on purpose, each with its reason: at most six."""

from floorlog.infra.part import Waived

SHORT_LOGS = Waived(
    "CKV_AWS_338",
    "logs tell of days; what must be kept for years is the record, not its logs (log_days)",
)
PUBLIC_ADDRESS = Waived(
    "CKV_AWS_333",
    "asked for: tasks in public subnets, with no ingress; `isolated` takes the address away",
)
OWN_ROTATION = Waived(
    "CKV2_AWS_57",
    "rotated by a scheduled task of this deployment's own image, not by a Lambda function",
)
NO_TOKENS = Waived(
    "CKV_AWS_161",
    "log-in tokens take 300 to 1,000 MiB of a database that has 1 GiB; passwords are rotated",
)
ONE_REGION = Waived(
    "CKV_AWS_144",
    "sensor data and what proves it stay in one region; zones within it keep three copies",
)
NO_ACCESS_LOG = Waived(
    "CKV_AWS_18",
    "nothing in the bucket can be changed, whoever asks; a log of it would need a bucket as well",
)
LOG_OF_A_LOG = Waived(
    "CKV_AWS_18",
    "it is the balancer's access log; who reads it stands in the account's own trail",
)
