"""Limits on who asks too often: buckets that refill, and doors that stay shut for a while."""

from collections import OrderedDict

KEYS_MAX = 10_000


class Buckets:
    """So many questions a second for each key, and some more at once.

    At the limit of keys the one that asked longest ago is forgotten: its bucket is full by then,
    or it belongs to somebody who changes keys, whom the limit by address bounds.

    Args:
        rate_per_s: how fast a bucket refills.
        burst: what it holds.
    """

    def __init__(self, rate_per_s: float, burst: float) -> None:
        self._rate = rate_per_s
        self._burst = burst
        self._held: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str, now_s: float) -> float:
        """Take one; 0.0, or the seconds until there is one."""
        held, at_s = self._held.pop(key, (self._burst, now_s))
        held = min(self._burst, held + (now_s - at_s) * self._rate)
        wait_s = 0.0
        if held >= 1:
            held -= 1
        else:
            wait_s = (1 - held) / self._rate
        self._held[key] = (held, now_s)
        if len(self._held) > KEYS_MAX:
            self._held.popitem(last=False)
        return wait_s


class Lockout:
    """Shuts a door after failures in a row: longer each time, until somebody gets in.

    Args:
        failures: how many in a row.
        seconds: how long it is shut first; doubles with each further failure.
        seconds_max: at most so long.
    """

    def __init__(self, failures: int = 5, seconds: float = 60, seconds_max: float = 900) -> None:
        self._failures = failures
        self._seconds = seconds
        self._seconds_max = seconds_max
        self._failed: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def shut_s(self, key: str, now_s: float) -> float:
        """Seconds for which the door stays shut; 0.0 when it is open."""
        _, until_s = self._failed.get(key, (0, 0.0))
        return max(0.0, until_s - now_s)

    def failed(self, key: str, now_s: float) -> bool:
        """Somebody failed; whether that shut the door."""
        count = self._failed.pop(key, (0, 0.0))[0] + 1
        over = count - self._failures
        shut_s = min(self._seconds * 2**over, self._seconds_max) if 0 <= over < 32 else 0.0
        if over >= 32:
            shut_s = self._seconds_max
        self._failed[key] = (count, now_s + shut_s)
        if len(self._failed) > KEYS_MAX:
            self._failed.popitem(last=False)
        return shut_s > 0

    def passed(self, key: str) -> None:
        """Somebody got in: what was before is forgotten."""
        self._failed.pop(key, None)


class Guesses:
    """Wrong passwords: few in a row from one address, more for a name from all addresses together.

    A name alone would let anybody lock out its owner. So five wrong ones in a row shut a name for
    the address that they came from, and fifty shut it for every address from which nobody has got
    in by that name: whoever did goes on, whatever strangers try.

    Source: OWASP, Blocking Brute Force Attacks and Slow Down Online Guessing Attacks with Device
    Cookies; what a device cookie is there is the address here.
    """

    def __init__(self) -> None:
        self._near = Lockout()
        self._far = Lockout(failures=50)
        self._known: OrderedDict[str, None] = OrderedDict()

    def shut_s(self, name: str, address: str, now_s: float) -> float:
        """Seconds for which this name is shut for this address."""
        pair = _pair(name, address)
        far_s = 0.0 if pair in self._known else self._far.shut_s(name, now_s)
        return max(self._near.shut_s(pair, now_s), far_s)

    def failed(self, name: str, address: str, now_s: float) -> bool:
        """A wrong password; whether that shut the name, for this address or all strange ones."""
        pair = _pair(name, address)
        is_near = self._near.failed(pair, now_s)
        # Who is known here has his own count alone: he does not shut out his other addresses.
        is_far = pair not in self._known and self._far.failed(name, now_s)
        return is_near or is_far

    def passed(self, name: str, address: str) -> None:
        """Somebody got in: the address is known from now on."""
        pair = _pair(name, address)
        self._near.passed(pair)
        self._known[pair] = None
        self._known.move_to_end(pair)
        if len(self._known) > KEYS_MAX:
            self._known.popitem(last=False)


def _pair(name: str, address: str) -> str:
    return f"{name}\n{address}"
