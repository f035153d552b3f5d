"""A custom MLServer runtime, as its documentation shows one: transformers, mean pooling, a head a tenant.

MLServer imports it in the peer's own environment.
"""
# pyright: reportMissingImports=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false, reportUntypedBaseClass=false
# MLServer is installed where this runs, not where it is checked.

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse
from transformers import AutoModel, AutoTokenizer

from tests.bench.heads import random_head


class Heads(MLModel):
    """Inputs `text` (BYTES) and `tenant` (INT64), a row each; outputs `label` and `score`."""

    async def load(self) -> bool:
        wanted: dict[str, Any] = self.settings.parameters.extra
        torch.set_num_threads(wanted["threads"])
        self._tokenizer: Any = AutoTokenizer.from_pretrained(wanted["weights"])
        self._network: Any = AutoModel.from_pretrained(wanted["weights"]).eval()
        dim = self._network.config.hidden_size
        self._heads = [random_head(number, dim) for number in range(wanted["tenants"])]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        columns = {column.name: column for column in payload.inputs}
        texts = StringCodec.decode_input(columns["text"])
        tenants = NumpyCodec.decode_input(columns["tenant"]).ravel().tolist()
        labels: list[str] = []
        scores: list[float] = []
        for tenant, feature in zip(tenants, self._features(texts), strict=True):
            head = self._heads[tenant]
            logits = head.weight @ feature + head.bias
            shares = np.exp(logits - logits.max())
            labels.append(head.labels[int(shares.argmax())])
            scores.append(float(shares.max() / shares.sum()))
        outputs = [StringCodec.encode_output("label", labels), NumpyCodec.encode_output("score", np.array(scores))]
        return InferenceResponse(model_name=self.name, outputs=outputs)

    @torch.inference_mode()
    def _features(self, texts: list[str]) -> Any:  # Any: (texts, dim) float32
        rows = self._tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        states = self._network(**rows).last_hidden_state
        mask = rows["attention_mask"][..., None]
        pooled = (states * mask).sum(1) / mask.sum(1)
        return torch.nn.functional.normalize(pooled).numpy()
