"""Refusals: the errors of Kinesis, with their names, HTTP status codes and wording."""

from typing import Final

INTERNAL_STATUS: Final = 500
BAD_REQUEST_STATUS: Final = 400


class Refusal(Exception):
    """An operation is answered with an error instead of a result."""

    def __init__(self, code: str, message: str, status: int = BAD_REQUEST_STATUS) -> None:
        """Keep Kinesis's error name, the text for the caller and the HTTP status."""
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


def invalid_argument(message: str) -> Refusal:
    """Return the refusal of a well-formed request that cannot be carried out as asked."""
    return Refusal("InvalidArgumentException", message)


def invalid_value(message: str) -> Refusal:
    """Return the refusal of a value outside what the service model allows."""
    return Refusal("ValidationException", f"1 validation error detected: {message}")


def not_serialisable(message: str) -> Refusal:
    """Return the refusal of a body that is not the operation's JSON."""
    return Refusal("SerializationException", message)


def not_found(message: str) -> Refusal:
    """Return the refusal for a stream or shard that does not exist."""
    return Refusal("ResourceNotFoundException", message)


def in_use(message: str) -> Refusal:
    """Return the refusal for a stream that is not in the state the operation needs."""
    return Refusal("ResourceInUseException", message)


def limit_exceeded(message: str) -> Refusal:
    """Return the refusal of a control operation asked for too often or too large."""
    return Refusal("LimitExceededException", message)


def throttled(message: str) -> Refusal:
    """Return the refusal of a read or write above the shard's throughput."""
    return Refusal("ProvisionedThroughputExceededException", message)


def expired_iterator(message: str) -> Refusal:
    """Return the refusal of a shard iterator older than five minutes."""
    return Refusal("ExpiredIteratorException", message)


def expired_next_token(message: str) -> Refusal:
    """Return the refusal of a paging token older than five minutes."""
    return Refusal("ExpiredNextTokenException", message)


def dry_run() -> Refusal:
    """Return the answer to a request that only asks whether it would succeed."""
    return Refusal(
        "DryRunOperationException", "Request would have succeeded, but the DryRun flag is set."
    )


def internal_failure(message: str = "Internal service failure.") -> Refusal:
    """Return the refusal after a failure inside the server (HTTP 500)."""
    return Refusal("InternalFailure", message, INTERNAL_STATUS)
