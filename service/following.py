"""An adaptation as it is now: how many are before it, and how long it will still take."""

from __future__ import annotations

from service import replies
from service.core import Core
from service.replies import AdaptationReply
from tsugiki.domain import Adaptation


def followed(core: Core, item: Adaptation) -> AdaptationReply:
    ahead = core.adaptations.ahead(item) if item.status == "queued" else None
    return replies.adaptation(item, ahead, eta_seconds(core, item))


def eta_seconds(core: Core, item: Adaptation) -> float | None:
    """By the plan's estimate and the time since training began: 0 where it takes longer than that.

    None where nothing tells: before there is a plan, and of what does not run.
    """
    if item.status != "running" or item.plan is None:
        return None
    began = core.adaptations.training_began(item.id)
    if began is None:
        return None
    plan = item.plan
    estimated_s: float = next(one["seconds"] for one in plan["candidates"] if one["method"] == plan["chosen"])
    return round(max(0.0, estimated_s - (core.database.now() - began).total_seconds()), 1)
