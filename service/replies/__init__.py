"""What replies look like on the wire: one type and one function per object of the API, one file per resource."""

from .adaptations import AdaptationReply, EventsReply, adaptation, event, plan
from .audits import AuditReply, FixBatchReply
from .exports import ExportReply, export
from .lists import ListReply, Object, ProblemReply, page
from .predictions import PredictionList, prediction, predictions
from .projects import ProjectReply, SampleReply, issue, project, sample
from .tenants import KeyReply, TenantReply, key, tenant
from .versions import AliasReply, VersionReply, alias, alias_move, version

__all__ = [
    "AdaptationReply",
    "AliasReply",
    "AuditReply",
    "FixBatchReply",
    "EventsReply",
    "ExportReply",
    "KeyReply",
    "ListReply",
    "Object",
    "PredictionList",
    "ProblemReply",
    "ProjectReply",
    "SampleReply",
    "TenantReply",
    "VersionReply",
    "adaptation",
    "alias",
    "alias_move",
    "event",
    "export",
    "issue",
    "key",
    "page",
    "plan",
    "prediction",
    "predictions",
    "project",
    "sample",
    "tenant",
    "version",
]
