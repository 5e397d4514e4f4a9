"""Registry: where the image lies, scanned, and never changed under its tag."""

import json
from dataclasses import dataclass

from cdktn_provider_aws.ecr_lifecycle_policy import EcrLifecyclePolicy
from cdktn_provider_aws.ecr_repository import EcrRepository

from floorlog.infra.keys import Keys
from floorlog.infra.part import Room, block

IMAGES_KEPT = 20  # how far back a roll-back can go


@dataclass(frozen=True)
class Registry:
    """The repository, and the image that tasks are made of."""

    arn: str
    url: str
    image: str


def registry(room: Room, keys: Keys, version: str) -> Registry:
    """The deployment's repository; its image at this release unless the parameters name one."""
    repository = room.add(
        EcrRepository,
        "repository",
        "holds the image; a tag never moves, and what is pushed is scanned",
        usage={"image GB": 1},
        name=room.name("iot-processor"),
        image_tag_mutability="IMMUTABLE",
        image_scanning_configuration={"scan_on_push": True},
        encryption_configuration=[block(encryption_type="KMS", kms_key=keys.arn)],
        force_delete=room.parameters.throw_away,
    )
    rule = {
        "rulePriority": 1,
        "description": f"the newest {IMAGES_KEPT}",
        "selection": {
            "tagStatus": "any",
            "countType": "imageCountMoreThan",
            "countNumber": IMAGES_KEPT,
        },
        "action": {"type": "expire"},
    }
    room.add(
        EcrLifecyclePolicy,
        "repository-policy",
        f"keeps the newest {IMAGES_KEPT} images",
        repository=repository.name,
        policy=json.dumps({"rules": [rule]}, sort_keys=True),
    )
    image = room.parameters.image or f"{repository.repository_url}:{version}"
    return Registry(repository.arn, repository.repository_url, image)
