"""Aliases: the only way to change what is served."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from service import replies
from service.edge import Adapting, After, Limit, Predicting, Reply, StrictRoute, documented
from service.replies import AliasReply, ListReply
from service.schemas import AliasMoveIn, RollbackIn
from tsugiki.storage.aliases import UNSET

router = APIRouter(prefix="/v1/projects/{p}", route_class=StrictRoute, tags=["aliases"])

Name = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
AfterMove = Annotated[int | None, Query(ge=1, lt=2**63, description="the last id of the page before")]


@router.get("/aliases", responses=documented(ListReply, 404))
def list_aliases(by: Predicting, p: str, after: After = None, limit: Limit = 100) -> Reply:
    return Reply(replies.page(by.core.registry.aliases(by.project(p).id, after, limit), replies.alias))


@router.put("/aliases/{name}", responses=documented(AliasReply, 404, 409, 413, 415, 507))
def move(by: Adapting, p: str, name: Name, wish: AliasMoveIn) -> Reply:
    """Point the alias at a version. With `expected_version`, only if it points there now (409 otherwise)."""
    # Left out means "whatever it is"; null means "it must not exist yet".
    expected = wish.expected_version if "expected_version" in wish.model_fields_set else UNSET
    moved = by.core.registry.move(
        by.project(p).id, name, wish.version, expected, reason="moved by hand", actor=by.principal.key.id
    )
    return Reply(replies.alias(moved))


@router.get("/aliases/{name}/history", responses=documented(ListReply, 404))
def history(by: Predicting, p: str, name: Name, after: AfterMove = None, limit: Limit = 100) -> Reply:
    """Every move of the alias, newest first."""
    return Reply(replies.page(by.core.registry.history(by.project(p).id, name, after, limit), replies.alias_move))


@router.post("/rollback", responses=documented(AliasReply, 404, 409, 413, 415, 507))
def rollback(by: Adapting, p: str, wish: RollbackIn = RollbackIn()) -> Reply:
    """Undo the alias's last move; again, the one before."""
    project = by.project(p)
    return Reply(replies.alias(by.core.registry.rollback(project.id, wish.alias, by.principal.key.id, by.once)))
