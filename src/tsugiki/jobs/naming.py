"""Features of what labels are called: computed like any input's, remembered for the next adaptation."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tsugiki.data.labels import mean_of, texts_of

if TYPE_CHECKING:
    from tsugiki.domain import Floats, Label, Project
    from tsugiki.ports import Embedder

MAX_REMEMBERED = 4_096  # texts; 12 MiB of 768 numbers

Key = tuple[str, str, str]  # (tenant, feature space, text): no tenant learns from the time it takes what others say


class Names:
    """Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[Key, Floats] = OrderedDict()

    def features(self, embedder: Embedder, project: Project, labels: Sequence[Label]) -> Floats:
        """(labels, dim) float32, one row a label: the mean over its texts, as long as they are on the average.

        Blocks while the engine computes those it has not met. Raises what the embedder raises.
        """
        space = embedder.backbone(project.backbone).space
        texts = [texts_of(label) for label in labels]
        wanted = dict.fromkeys(text for of_label in texts for text in of_label)
        with self._lock:
            known = {text: self._known.get((project.tenant_id, space.id, text)) for text in wanted}
        found = {text: vector for text, vector in known.items() if vector is not None}
        missing = [text for text in wanted if text not in found]
        if missing:
            fresh = embedder.embed(project.tenant_id, project.backbone, missing)
            found |= dict(zip(missing, fresh, strict=True))
        self._remember({(project.tenant_id, space.id, text): vector for text, vector in found.items()})
        return np.stack([mean_of([found[text] for text in of_label]) for of_label in texts])

    def _remember(self, vectors: dict[Key, Floats]) -> None:
        with self._lock:
            for key, vector in vectors.items():
                self._known[key] = vector
                self._known.move_to_end(key)
            while len(self._known) > MAX_REMEMBERED:
                self._known.popitem(last=False)
