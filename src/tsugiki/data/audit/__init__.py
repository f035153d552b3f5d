"""What is wrong, or may be, in a tenant's samples: found on the features and held-out answers it has anyway."""

from tsugiki.data.audit.clusters import fold_groups
from tsugiki.data.audit.finding import ADVICE
from tsugiki.data.audit.lengths import Lengths
from tsugiki.data.audit.neighbours import Neighbours, search
from tsugiki.data.audit.report import Material, Sets, audit

__all__ = ["ADVICE", "Lengths", "Material", "Neighbours", "Sets", "audit", "fold_groups", "search"]
