"""The local cloud's patches and its gate: each does what AWS documents, and nothing besides."""

import json
import time
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

pytestmark = pytest.mark.slow
REGION = "eu-west-2"
TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})


@pytest.fixture(scope="module")
def address(serve_cloud):
    """A local cloud of this module's own, without a stream."""
    with serve_cloud("http://127.0.0.1:9") as found:
        yield found


@pytest.fixture
def client(address):
    def make(service: str, **keys: str) -> Any:
        given = keys or {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
        return boto3.client(service, region_name=REGION, endpoint_url=address, **given)

    return make


def refused(call, **values) -> str:
    with pytest.raises(ClientError) as caught:
        call(**values)
    return caught.value.response["Error"]["Code"]


def test_user_groups_are_made_described_and_removed(client):
    """An id, an engine and users that exist, one of them named default; active at once."""
    cache = client("elasticache")
    for user, name in (("one", "one"), ("nobody", "default")):
        cache.create_user(UserId=user, UserName=name, Engine="redis", AccessString="off -@all",
                          AuthenticationMode={"Type": "no-password-required"})  # fmt: skip
    create = cache.create_user_group
    assert refused(create, UserGroupId="g", Engine="redis", UserIds=["x"]) == "UserNotFound"
    asked = {"UserGroupId": "g", "Engine": "redis"}
    assert refused(create, **asked, UserIds=["one"]) == "DefaultUserRequired"
    tags = [{"Key": "k", "Value": "v"}]
    made = create(**asked, UserIds=["one", "nobody"], Tags=tags)
    assert (made["Status"], made["UserIds"]) == ("active", ["one", "nobody"])
    again = {**asked, "UserIds": ["one", "nobody"]}
    assert refused(create, **again) == "UserGroupAlreadyExists"
    assert cache.list_tags_for_resource(ResourceName=made["ARN"])["TagList"] == tags
    [found] = cache.describe_user_groups(UserGroupId="g")["UserGroups"]
    assert found["ARN"] == made["ARN"]
    assert cache.delete_user_group(UserGroupId="g")["Status"] == "deleting"
    assert refused(cache.describe_user_groups, UserGroupId="g") == "UserGroupNotFound"


def test_a_subnet_group_goes_when_it_is_deleted(client):
    """It is not found from then on."""
    cache, ec2 = client("elasticache"), client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]
    cache.create_cache_subnet_group(
        CacheSubnetGroupName="n", CacheSubnetGroupDescription="d", SubnetIds=[subnet]
    )
    cache.delete_cache_subnet_group(CacheSubnetGroupName="n")
    gone = refused(cache.delete_cache_subnet_group, CacheSubnetGroupName="n")
    assert gone.startswith("CacheSubnetGroupNotFound")


def test_the_nodes_of_a_replication_group_are_described(client):
    """Each member is a cache cluster of the group's type, and goes with it."""
    cache = client("elasticache")
    group = cache.create_replication_group(
        ReplicationGroupId="r",
        ReplicationGroupDescription="d",
        Engine="redis",
        CacheNodeType="cache.t3.micro",
        NumNodeGroups=1,
        ReplicasPerNodeGroup=1,
        AutomaticFailoverEnabled=True,
    )["ReplicationGroup"]
    assert len(group["MemberClusters"]) == 2
    for member in group["MemberClusters"]:
        [node] = cache.describe_cache_clusters(CacheClusterId=member)["CacheClusters"]
        assert (node["CacheNodeType"], node["ReplicationGroupId"]) == ("cache.t3.micro", "r")
    cache.delete_replication_group(ReplicationGroupId="r")
    missing = {"CacheClusterId": group["MemberClusters"][0]}
    assert refused(cache.describe_cache_clusters, **missing).startswith("CacheClusterNotFound")
    gone = refused(cache.describe_replication_groups, ReplicationGroupId="r")
    assert gone.startswith("ReplicationGroupNotFound")


def test_a_locks_default_may_change_and_versions_stay(client):
    """The default of a bucket with objects is changed; its versions cannot be suspended."""
    s3 = client("s3", aws_access_key_id="a", aws_secret_access_key="b")
    where = {"LocationConstraint": REGION}
    s3.create_bucket(
        Bucket="locked", CreateBucketConfiguration=where, ObjectLockEnabledForBucket=True
    )
    s3.put_object(Bucket="locked", Key="k", Body=b"x")
    rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}
    s3.put_object_lock_configuration(
        Bucket="locked",
        ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule},
    )
    found = s3.get_object_lock_configuration(Bucket="locked")["ObjectLockConfiguration"]
    retention = found["Rule"]["DefaultRetention"]
    assert (retention["Mode"], retention["Days"]) == ("GOVERNANCE", 1)
    suspended = {"Bucket": "locked", "VersioningConfiguration": {"Status": "Suspended"}}
    assert refused(s3.put_bucket_versioning, **suspended) == "InvalidBucketState"


def test_an_event_with_metrics_becomes_metrics(client):
    """Each named metric, once a set of dimensions; what is malformed is just an event."""
    logs = client("logs")
    logs.create_log_group(logGroupName="g")
    logs.create_log_stream(logGroupName="g", logStreamName="s")
    now_ms = time.time_ns() // 1_000_000
    directive = {
        "Namespace": "Test",
        "Dimensions": [["Environment"], ["Environment", "Shard"]],
        "Metrics": [{"Name": "lag", "Unit": "Milliseconds"}],
    }
    whole = {"_aws": {"Timestamp": now_ms, "CloudWatchMetrics": [directive]},
             "Environment": "dev", "Shard": "0", "lag": [1, 3]}  # fmt: skip
    lacking = {**whole, "Shard": None}
    del lacking["lag"]
    events = [whole, lacking, {"level": "INFO"}]
    logs.put_log_events(
        logGroupName="g",
        logStreamName="s",
        logEvents=[{"timestamp": now_ms, "message": json.dumps(each)} for each in events]
        + [{"timestamp": now_ms, "message": "{no json"}],
    )
    assert len(logs.filter_log_events(logGroupName="g")["events"]) == 4
    watch = client("cloudwatch")
    listed = watch.list_metrics(Namespace="Test")["Metrics"]
    sets = {tuple(each["Name"] for each in metric["Dimensions"]) for metric in listed}
    assert sets == {("Environment",), ("Environment", "Shard")}
    found = watch.get_metric_statistics(
        Namespace="Test",
        MetricName="lag",
        Dimensions=[{"Name": name, "Value": whole[name]} for name in ("Environment", "Shard")],
        StartTime=now_ms / 1000 - 600,
        EndTime=now_ms / 1000 + 600,
        Period=3_600,
        Statistics=["Sum", "SampleCount"],
    )["Datapoints"]
    assert sum(each["Sum"] for each in found) == 4
    assert sum(each["SampleCount"] for each in found) == 2


def test_tags_of_a_scalable_target_are_listed(client):
    """As they were given; another ARN is not found."""
    scaling = client("application-autoscaling")
    ecs = client("ecs")
    ecs.create_cluster(clusterName="c")
    ecs.register_task_definition(
        family="f", containerDefinitions=[{"name": "x", "image": "i", "memory": 512}]
    )
    ecs.create_service(cluster="c", serviceName="s", taskDefinition="f", desiredCount=1)
    arn = scaling.register_scalable_target(
        ServiceNamespace="ecs",
        ResourceId="service/c/s",
        ScalableDimension="ecs:service:DesiredCount",
        MinCapacity=1,
        MaxCapacity=2,
        Tags={"k": "v"},
    )["ScalableTargetARN"]
    assert scaling.list_tags_for_resource(ResourceARN=arn)["Tags"] == {"k": "v"}
    none = {"ResourceARN": arn + "x"}
    assert refused(scaling.list_tags_for_resource, **none) == "ResourceNotFoundException"


def test_a_bucket_policys_condition_of_tls_is_looked_at(client):
    """What is denied without TLS is not denied here; what is denied always, is."""
    s3 = client("s3", aws_access_key_id="a", aws_secret_access_key="b")
    where = {"LocationConstraint": REGION}
    s3.create_bucket(Bucket="bucket", CreateBucketConfiguration=where)
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:*",
            "Resource": ["arn:aws:s3:::bucket", "arn:aws:s3:::bucket/*"]}  # fmt: skip
    tls = {**deny, "Condition": {"Bool": {"aws:SecureTransport": "false"}}}
    s3.put_bucket_policy(Bucket="bucket", Policy=json.dumps({"Statement": [tls]}))
    s3.put_object(Bucket="bucket", Key="k", Body=b"x")
    s3.put_bucket_policy(Bucket="bucket", Policy=json.dumps({"Statement": [deny]}))
    assert refused(s3.put_object, Bucket="bucket", Key="k", Body=b"x") in {"403", "AccessDenied"}


def test_a_role_may_do_what_its_policy_says_on_that_resource(client):
    """The right action on the right resource; not another secret, not another action, no token."""
    iam, secrets = client("iam"), client("secretsmanager")
    own = secrets.create_secret(Name="own", SecretString="x")["ARN"]
    other = secrets.create_secret(Name="other", SecretString="x")["ARN"]
    arn = iam.create_role(RoleName="r", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    statement = {"Effect": "Allow", "Action": ["secretsmanager:GetSecretValue"], "Resource": own}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_role_policy(RoleName="r", PolicyName="p", PolicyDocument=document)
    keys = client("sts").assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
    given = {"aws_access_key_id": keys["AccessKeyId"],
             "aws_secret_access_key": keys["SecretAccessKey"]}  # fmt: skip
    role = client("secretsmanager", **given, aws_session_token=keys["SessionToken"])
    assert role.get_secret_value(SecretId=own)["SecretString"] == "x"
    denied = "AccessDeniedException"
    assert refused(role.get_secret_value, SecretId=other) == denied
    assert refused(role.put_secret_value, SecretId=own, SecretString="y") == denied
    assert refused(role.list_secrets) == denied
    forged = client("secretsmanager", **given, aws_session_token="forged")
    assert refused(forged.get_secret_value, SecretId=own) == denied


def as_role(client, service: str, name: str, *statements: dict[str, Any]) -> Any:
    """A client of a role that may just that."""
    iam = client("iam")
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
    iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=document)
    keys = client("sts").assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
    return client(
        service,
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
    )


def allowed(action: str, resource: str) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": [action], "Resource": resource}


def test_an_encrypted_secret_needs_its_key(client):
    """To read it, its key must decrypt; to write a new version, it must give a data key."""
    key = client("kms").create_key()["KeyMetadata"]["Arn"]
    arn = client("secretsmanager").create_secret(Name="locked", SecretString="x", KmsKeyId=key)[
        "ARN"
    ]
    both = [allowed(f"secretsmanager:{each}", arn) for each in ("GetSecretValue", "PutSecretValue")]
    without = as_role(client, "secretsmanager", "without-key", *both)
    reader = as_role(client, "secretsmanager", "reader", *both, allowed("kms:Decrypt", key))
    denied = "AccessDeniedException"
    assert refused(without.get_secret_value, SecretId=arn) == denied
    assert reader.get_secret_value(SecretId=arn)["SecretString"] == "x"
    assert refused(reader.put_secret_value, SecretId=arn, SecretString="y") == denied


def test_an_encrypted_object_needs_its_buckets_key(client):
    """To put it, the key must give a data key; to get it, it must decrypt."""
    key = client("kms").create_key()["KeyMetadata"]["Arn"]
    s3 = client("s3")
    s3.create_bucket(Bucket="sealed", CreateBucketConfiguration={"LocationConstraint": REGION})
    by = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
    rules = {"Rules": [{"ApplyServerSideEncryptionByDefault": by}]}
    s3.put_bucket_encryption(Bucket="sealed", ServerSideEncryptionConfiguration=rules)
    objects = [allowed(f"s3:{each}Object", "arn:aws:s3:::sealed/*") for each in ("Get", "Put")]
    writer = as_role(client, "s3", "writer", *objects, allowed("kms:GenerateDataKey", key))
    writer.put_object(Bucket="sealed", Key="k", Body=b"x")
    with pytest.raises(ClientError, match=r"AccessDenied|400"):
        writer.get_object(Bucket="sealed", Key="k")
    both = as_role(client, "s3", "both", *objects, allowed("kms:Decrypt", key))
    assert both.get_object(Bucket="sealed", Key="k")["Body"].read() == b"x"
    with pytest.raises(ClientError, match=r"AccessDenied|400"):
        both.put_object(Bucket="sealed", Key="k", Body=b"y")


def test_who_runs_a_task_passes_its_roles(client):
    """RunTask on the definition is not enough: each role of the task must be passed on."""
    ecs = client("ecs")
    ecs.create_cluster(clusterName="run")
    roles = {each: f"arn:aws:iam::123456789012:role/{each}" for each in ("one", "two")}
    ecs.register_task_definition(
        family="job", containerDefinitions=[{"name": "x", "image": "i", "memory": 512}],
        taskRoleArn=roles["one"], executionRoleArn=roles["two"],
    )  # fmt: skip
    run = allowed("ecs:RunTask", f"arn:aws:ecs:{REGION}:123456789012:task-definition/job:*")
    half = as_role(client, "ecs", "half", run, allowed("iam:PassRole", roles["one"]))
    asked = {"cluster": "run", "taskDefinition": "job"}
    with pytest.raises(ClientError, match="iam:PassRole"):
        half.run_task(**asked)
    whole = as_role(client, "ecs", "whole", run, allowed("iam:PassRole", "*"))
    # The gate lets it pass; moto then finds no machine to run it on, and says so.
    answer = whole.run_task(**asked, launchType="FARGATE")
    assert "tasks" in answer
