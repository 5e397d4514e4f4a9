"""A door before this machine's cache, as ElastiCache's: TLS, IAM's tokens, users' access strings.

Documented behaviour (ElastiCache user guide, "Authenticating with IAM" and "Role-Based Access
Control"): with transit encryption `required` nothing else than TLS is spoken. AUTH takes a user's
name and a token: a request `connect` of that user, presigned for the replication group, good for 15
minutes, by a role that may `elasticache:Connect` to the group and as the user. Who is in no user
group of the replication group, or presents another token, is answered WRONGPASS. A user may what
its access string says.
"""

import secrets
import select
import socket
import ssl
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import user_groups
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from moto.elasticache.models import ElastiCacheBackend, User, elasticache_backends
from moto.sts.models import sts_backends

ACCOUNT = "123456789012"
PART_BYTES_MAX = 65_536
SECONDS_MAX = 900
REFUSED = b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"
MayConnect = Callable[[str, list[str]], bool]


class Door:
    """Serves in threads of its own until the process ends.

    Args:
        port: where it listens, on loopback.
        cache: the real cache, as `host:port`.
        certificate: files of the certificate and its key.
        may_connect: whether a role, by its ARN, may connect to all of these resources.
    """

    def __init__(
        self, port: int, cache: str, certificate: tuple[str, str], may_connect: MayConnect
    ) -> None:
        host, _, number = cache.rpartition(":")
        self._cache = (host, int(number))
        self._may_connect = may_connect
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(*certificate)
        self._listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, raw: socket.socket) -> None:
        with raw:
            try:
                with (
                    self._context.wrap_socket(raw, server_side=True) as client,
                    socket.create_connection(self._cache, 10) as inner,
                ):
                    if self._admits(client, inner):
                        pump(client, inner)
            except (OSError, ValueError):
                return

    def _admits(self, client: ssl.SSLSocket, inner: socket.socket) -> bool:
        """Read AUTH; where its token holds, log in inside as a user of that access string."""
        words = read_command(client)
        user = None
        if len(words) == 3 and words[0].upper() == b"AUTH":
            user = self._known(words[1].decode(), words[2].decode())
        if user is None:
            client.sendall(REFUSED)
            return False
        word = secrets.token_hex(16)
        call(inner, "ACL", "SETUSER", user.name, "reset", *user.access_string.split(), f">{word}")
        client.sendall(call(inner, "AUTH", user.name, word))
        return True

    def _known(self, name: str, token: str) -> User | None:
        """The user that a token is good for."""
        parts = urlsplit(f"https://{token}")
        asked = {key: values[0] for key, values in parse_qs(parts.query).items()}
        if asked.get("Action") != "connect" or asked.get("User") != name:
            return None
        credential = asked.get("X-Amz-Credential", "").split("/")
        roles = sts_backends[ACCOUNT]["aws"].assumed_roles
        role = next((each for each in roles if each.access_key_id == credential[0]), None)
        if role is None or len(credential) != 5 or credential[3] != "elasticache":
            return None
        keys = Credentials(role.access_key_id, role.secret_access_key, role.session_token)
        backend = elasticache_backends[ACCOUNT][credential[2]]
        group = backend.replication_groups.get(parts.netloc)
        user = next((each for each in backend.users.values() if each.name == name), None)
        if group is None or user is None or not is_fresh(asked, datetime.now(UTC)):
            return None
        if signature(f"https://{token}", keys, credential[2]) != asked.get("X-Amz-Signature"):
            return None
        if user.id not in members(backend, group.user_group_ids) or not self._may_connect(
            role.role_arn, [group.arn, user.arn]
        ):
            return None
        return user


def members(backend: ElastiCacheBackend, groups: list[str]) -> set[str]:
    """Users of these user groups of a region."""
    place = (backend.account_id, backend.region_name)
    held = [user_groups._GROUPS.get((*place, name), {}) for name in groups]
    return {user for group in held for user in group.get("UserIds", [])}


def is_fresh(asked: dict[str, str], now: datetime) -> bool:
    """Whether a presigned request is within its time, and asks for no more than there is."""
    try:
        begun = datetime.strptime(asked["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        length = int(asked["X-Amz-Expires"])
    except (KeyError, ValueError):
        return False
    return length <= SECONDS_MAX and begun - timedelta(minutes=5) <= now <= begun + timedelta(
        seconds=length
    )


def signature(url: str, keys: Credentials, region: str) -> str:
    """The signature that these keys would give a presigned request at its own moment."""
    parts = urlsplit(url)
    asked = {key: values[0] for key, values in parse_qs(parts.query).items()}
    request = AWSRequest(
        "GET", f"https://{parts.netloc}{parts.path}?Action=connect&User={asked['User']}"
    )
    signer = SigV4QueryAuth(keys, "elasticache", region, int(asked["X-Amz-Expires"]))
    request.context["timestamp"] = asked["X-Amz-Date"]
    signer._modify_request_before_signing(request)
    canonical = signer.canonical_request(request)
    return signer.signature(signer.string_to_sign(request, canonical), request)


def read_command(client: socket.socket) -> list[bytes]:
    """One command of the Redis protocol."""
    stream = client.makefile("rb", buffering=0)
    count = int(stream.readline()[1:])
    words = []
    for _ in range(min(count, 8)):
        size = int(stream.readline()[1:])
        data = b""
        while len(data) < size + 2:
            data += stream.read(size + 2 - len(data))
        words.append(data[:-2])
    return words


def call(inner: socket.socket, *words: str) -> bytes:
    """One command to the real cache; its answer, one line."""
    parts = b"".join(b"$%d\r\n%s\r\n" % (len(w.encode()), w.encode()) for w in words)
    inner.sendall(b"*%d\r\n" % len(words) + parts)
    answer = b""
    while not answer.endswith(b"\r\n"):
        answer += inner.recv(1024)
    return answer


def pump(client: ssl.SSLSocket, inner: socket.socket) -> None:
    """Carry bytes both ways until either side is done."""
    while True:
        waiting = [client] if client.pending() else select.select([client, inner], [], [])[0]
        for one, other in ((client, inner), (inner, client)):
            if one in waiting:
                data = one.recv(PART_BYTES_MAX)
                if not data:
                    return
                other.sendall(data)
