"""One file per resource; the tuple is the API."""

from service.routes import (
    adaptations,
    admin,
    aliases,
    audits,
    backbones,
    exports,
    me,
    operations,
    predictions,
    projects,
    samples,
    verbs,
    versions,
)

ROUTERS = (
    verbs.direct,
    verbs.router,
    projects.router,
    samples.router,
    adaptations.router,
    versions.router,
    audits.router,
    aliases.router,
    predictions.router,
    exports.router,
    backbones.router,
    me.router,
    admin.router,
    operations.router,
)
