"""Gate before moto: the stream goes to Floorlog's own server, and roles may do what policies say.

moto resolves the resource of a request for three services only, so that a grant on one stream would
be denied. The gate resolves it for the services that tasks call, takes the policies of the role
from moto, and has moto's own matcher decide. Requests of keys that belong to no role pass: those
are the administrator's. What a call needs besides itself (the key of a secret or an object, the
roles of a task) is asked as well. A policy's conditions are not looked at.
"""

import json
import re
import threading
from collections.abc import Callable, Iterable
from http.client import HTTPConnection
from io import BytesIO
from typing import Any
from urllib.parse import unquote, urlsplit

from moto.ecs.models import ecs_backends
from moto.iam.access_control import IAMPolicy, PermissionResult
from moto.iam.models import iam_backends
from moto.s3.models import s3_backends
from moto.secretsmanager.models import secretsmanager_backends
from moto.sts.models import sts_backends

ACCOUNT = "123456789012"
BODY_BYTES_MAX = 16 * 1024 * 1024
KINESIS = "Kinesis_20131202."
_CREDENTIAL = re.compile(r"Credential=([^/]+)/\d+/([^/]+)/([^/]+)/")
# Where a request names its resource, and the ARN of what it names.
_NAMED = {
    "kinesis": (("StreamARN", "StreamName"), "arn:aws:kinesis:{region}:{kinesis}:stream/{name}"),
    "secretsmanager": (("SecretId",), "{name}"),
    "logs": (("logGroupName",), "arn:aws:logs:{region}:{account}:log-group:{name}:log-stream:x"),
    "kms": (("KeyId",), "{name}"),
    "ecr": (("repositoryName",), "arn:aws:ecr:{region}:{account}:repository/{name}"),
    "ecs": (("taskDefinition",), "arn:aws:ecs:{region}:{account}:task-definition/{name}:1"),
}
_S3 = {"GET": "s3:GetObject", "PUT": "s3:PutObject", "DELETE": "s3:DeleteObject",
       "HEAD": "s3:GetObject"}  # fmt: skip

_KEY_OF_SECRET = {
    "secretsmanager:GetSecretValue": "kms:Decrypt",  # pragma: allowlist secret - an action
    "secretsmanager:PutSecretValue": "kms:GenerateDataKey",  # pragma: allowlist secret - the same
}
_KEY_OF_OBJECT = {"s3:GetObject": "kms:Decrypt", "s3:PutObject": "kms:GenerateDataKey"}
_HOP = {"connection", "transfer-encoding", "content-length"}

Start = Callable[[str, list[tuple[str, str]]], Any]


class Gate:
    """A WSGI application before another.

    Args:
        inner: moto.
        kinesis: the URL of Floorlog's own server.
        removed: actions that no policy grants from now on, for the test that none is spare.
    """

    def __init__(self, inner: Callable[..., Iterable[bytes]], kinesis: str) -> None:
        self._inner = inner
        self._kinesis = urlsplit(kinesis).netloc
        self._streams: dict[str, str] = {}  # iterator → ARN of its stream
        self._account = ""
        self.removed: set[str] = set()
        self.denied: list[str] = []
        self.allowed: set[str] = set()
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        """Answer one request."""
        path = environ["PATH_INFO"]
        if path.startswith("/gate/"):
            return self._control(path.removeprefix("/gate/"), start)
        size = int(environ.get("CONTENT_LENGTH") or 0)
        assert size <= BODY_BYTES_MAX
        body = environ["wsgi.input"].read(size) if size else b""
        environ["wsgi.input"] = BytesIO(body)
        refused = self._refused(environ, body)
        if refused:
            return _denied(refused, start)
        if environ.get("HTTP_X_AMZ_TARGET", "").startswith(KINESIS):
            return self._to_kinesis(environ, body, start)
        return self._inner(environ, start)

    def _control(self, words: str, start: Start) -> Iterable[bytes]:
        verb, _, action = words.partition("/")
        action = unquote(action)
        if verb == "remove":
            self.removed.add(action)
        elif verb == "restore":
            self.removed.discard(action)
        start("200 OK", [("Content-Type", "application/json")])
        told = {"denied": self.denied, "allowed": sorted(self.allowed)}
        if verb == "forget":
            self.denied, self.allowed = [], set()
        return [json.dumps(told).encode()]

    def _refused(self, environ: dict[str, Any], body: bytes) -> str:
        """What a role may not do of this request: "action on resource"; else ""."""
        found = _CREDENTIAL.search(environ.get("HTTP_AUTHORIZATION", ""))
        if found is None:
            return ""
        key, region, service = found.groups()
        roles = sts_backends[ACCOUNT]["aws"].assumed_roles
        role = next((each for each in roles if each.access_key_id == key), None)
        if role is None:
            return ""
        if environ.get("HTTP_X_AMZ_SECURITY_TOKEN") != role.session_token:
            return "a request without its token"
        name = role.role_arn.rpartition("/")[2]
        for action, resource in self._asked(environ, body, service, region):
            if not self._passes(name, action, resource):
                return f"{action} on resource {resource}"
        return ""

    def may_connect(self, role_arn: str, resources: list[str]) -> bool:
        """Whether a role may connect to a cache: both to the group and as the user."""
        name = role_arn.rpartition("/")[2]
        return all(self._passes(name, "elasticache:Connect", each) for each in resources)

    def _passes(self, role: str, action: str, resource: str) -> bool:
        """Decide, and write it down. What is removed is an action, or one on one resource."""
        removed = action in self.removed or f"{action} {resource}" in self.removed
        passes = not removed and _is_allowed(role, action, resource)
        with self._lock:
            if passes:
                self.allowed.add(f"{role} {action} {resource}")
            else:
                self.denied.append(f"{role} {action} {resource}")
        return passes

    def _asked(
        self, environ: dict[str, Any], body: bytes, service: str, region: str
    ) -> list[tuple[str, str]]:
        """The actions that a request needs, each with its resource."""
        if service == "s3":
            return _s3(environ)
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        action = f"{service}:{target.rpartition('.')[2]}"
        if service not in _NAMED or not target:
            return [(action, "*")]
        fields, pattern = _NAMED[service]
        content = json.loads(body or b"{}")
        name = next((content[each] for each in fields if content.get(each)), "*")
        if "ShardIterator" in content:
            name = self._streams.get(content["ShardIterator"], "*")
        place = {"region": region, "account": ACCOUNT, "kinesis": self._account or ACCOUNT}
        if not name.startswith("arn:") and name != "*":
            name = pattern.format(name=name, **place)
        return [(action, name), *_besides(action, name, content, region)]

    def _to_kinesis(self, environ: dict[str, Any], body: bytes, start: Start) -> Iterable[bytes]:
        connection = HTTPConnection(self._kinesis, timeout=30)
        names = {
            "HTTP_X_AMZ_TARGET": "X-Amz-Target",
            "CONTENT_TYPE": "Content-Type",
            "HTTP_AUTHORIZATION": "Authorization",
            "HTTP_X_AMZ_DATE": "X-Amz-Date",
        }
        headers = {name: environ[key] for key, name in names.items() if key in environ}
        try:
            connection.request("POST", "/", body, headers)
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        self._remember(json.loads(body or b"{}"), data)
        kept = [each for each in answer.getheaders() if each[0].lower() not in _HOP]
        start(f"{answer.status} {answer.reason}", [*kept, ("Content-Length", str(len(data)))])
        return [data]

    def _remember(self, asked: dict[str, Any], data: bytes) -> None:
        """Whose iterators those are: a request with one does not name its stream."""
        if b"Iterator" not in data and b"StreamARN" not in data:
            return
        told = json.loads(data)
        summary = told.get("StreamDescriptionSummary") or {}
        if "StreamARN" in summary:
            self._account = summary["StreamARN"].split(":")[4]
            self._streams[summary["StreamName"]] = summary["StreamARN"]
        stream = self._streams.get(asked.get("ShardIterator", asked.get("StreamName", "")), "")
        following = told.get("ShardIterator") or told.get("NextShardIterator")
        if stream and following:
            self._streams[following] = stream


def _is_allowed(role: str, action: str, resource: str) -> bool:
    backend = iam_backends[ACCOUNT]["aws"]
    documents = [
        backend.get_role_policy(role, name)[1] for name in backend.list_role_policies(role)
    ]
    documents += backend.list_attached_role_policies(role)[0]
    results = [IAMPolicy(each).is_action_permitted(action, resource) for each in documents]
    return PermissionResult.PERMITTED in results and PermissionResult.DENIED not in results


def _besides(
    action: str, resource: str, content: dict[str, Any], region: str
) -> list[tuple[str, str]]:
    """What a call needs besides itself, as AWS documents: a secret's key, roles that are passed.

    Secrets Manager's user guide, "Secret encryption and decryption": reading a secret decrypts its
    data key, a new version takes a new one of the secret's own key. ECS's: who runs a task passes
    its roles on.
    """
    if action in _KEY_OF_SECRET:
        secret = secretsmanager_backends[ACCOUNT][region].secrets.get(resource)
        key = secret.kms_key_id if secret else None
        return [(_KEY_OF_SECRET[action], _key_arn(key, region))] if key else []
    if action == "ecs:RunTask":
        found = ecs_backends[ACCOUNT][region].describe_task_definition(content["taskDefinition"])
        return [("iam:PassRole", found.task_role_arn), ("iam:PassRole", found.execution_role_arn)]
    return []


def _key_arn(key: str, region: str) -> str:
    return key if key.startswith("arn:") else f"arn:aws:kms:{region}:{ACCOUNT}:key/{key}"


def _s3(environ: dict[str, Any]) -> list[tuple[str, str]]:
    """The action on a bucket or an object, and, of an encrypted object, the use of its key.

    S3's user guide, "Using server-side encryption with AWS KMS": who puts an object needs a data
    key of the bucket's key, who reads it must be able to decrypt that.
    """
    bucket, _, key = environ["PATH_INFO"].strip("/").partition("/")
    if not key:
        return [("s3:ListBucket", f"arn:aws:s3:::{bucket}")]
    action = _S3[environ["REQUEST_METHOD"]]
    asked = [(action, f"arn:aws:s3:::{bucket}/{key}")]
    held = s3_backends[ACCOUNT]["aws"].buckets.get(bucket)
    by = _KEY_OF_OBJECT.get(action)
    if held is not None and held.encryption and by:
        rule = held.encryption["Rule"]["ApplyServerSideEncryptionByDefault"]
        asked.append((by, rule["KMSMasterKeyID"]))
    return asked


def _denied(what: str, start: Start) -> Iterable[bytes]:
    message = f"User is not authorized to perform: {what}"
    body = json.dumps({"__type": "AccessDeniedException", "message": message}).encode()
    start("400 Bad Request", [("Content-Type", "application/x-amz-json-1.1"),
                              ("x-amzn-ErrorType", "AccessDeniedException")])  # fmt: skip
    return [body]
