"""Who may do what: five roles, and the groups of them that routes ask for."""

from enum import StrEnum, unique

import msgspec


@unique
class Role(StrEnum):
    """What a person is here for."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ENGINEER = "engineer"
    AUDITOR = "auditor"
    ADMIN = "admin"


Roles = frozenset[Role]
ALL: Roles = frozenset(Role)
OPERATING: Roles = frozenset({Role.OPERATOR, Role.ENGINEER, Role.ADMIN})
ENGINEERING: Roles = frozenset({Role.ENGINEER, Role.ADMIN})
AUDITING: Roles = frozenset({Role.AUDITOR, Role.ADMIN})
INSPECTING: Roles = ENGINEERING | AUDITING


class Identity(msgspec.Struct, frozen=True):
    """Who asks: what the record calls them, and what they may do."""

    actor: str  # a pseudonym: the record never holds a person's name
    role: Role
    name: str = ""  # as shown to that person


LOCAL = Identity("local", Role.ADMIN, "local user")
"""Whoever reaches the page in local mode: only programs of this machine do."""
