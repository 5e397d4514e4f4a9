"""Patch: tags of scalable targets, which moto neither keeps nor lists.

Documented behaviour (Application Auto Scaling API): RegisterScalableTarget takes `Tags` and
returns the target's ARN; ListTagsForResource lists them; an ARN that is none fails with
ResourceNotFoundException.
"""

import json
from typing import Any

from moto.applicationautoscaling.responses import ApplicationAutoScalingResponse
from moto.core.exceptions import JsonRESTError

_register = ApplicationAutoScalingResponse.register_scalable_target
_TAGS: dict[str, dict[str, str]] = {}


def apply() -> None:
    """Keep the tags and list them."""
    ApplicationAutoScalingResponse.register_scalable_target = _register_with_tags
    ApplicationAutoScalingResponse.list_tags_for_resource = _list


def _register_with_tags(self: ApplicationAutoScalingResponse) -> Any:
    answer = _register(self)
    asked = json.loads(self.body)
    told = json.loads(answer)
    if "ScalableTargetARN" in told:
        _TAGS.setdefault(told["ScalableTargetARN"], {}).update(asked.get("Tags", {}))
    return answer


def _list(self: ApplicationAutoScalingResponse) -> str:
    arn = json.loads(self.body)["ResourceARN"]
    if arn not in _TAGS:
        raise JsonRESTError("ResourceNotFoundException", f"No scalable target found for {arn}.")
    return json.dumps({"Tags": _TAGS[arn]})
