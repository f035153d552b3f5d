"""SetFit with its defaults (contrastive pairs, 20 a sample; one epoch; a logistic head): `ASKED ANSWERED`, JSON both.

Run by an environment of its own, which has nothing of this project.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingImports=false
# Its packages are not installed where types are checked.

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

THREADS = 2


def main(asked: Path, answered: Path) -> None:
    os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    import torch
    from datasets import Dataset
    from setfit import SetFitModel, Trainer, TrainingArguments

    torch.set_num_threads(THREADS)
    given: dict[str, Any] = json.loads(asked.read_text())  # Any: JSON
    labels = sorted({row["label"] for row in given["train"]})
    numbers = [labels.index(row["label"]) for row in given["train"]]
    rows = Dataset.from_dict({"text": [row["text"] for row in given["train"]], "label": numbers})
    model = SetFitModel.from_pretrained(given["weights"])
    scratch = str(answered.parent / "scratch")
    arguments = TrainingArguments(
        output_dir=scratch, batch_size=16, num_epochs=1, num_iterations=20, report_to="none", seed=given["seed"]
    )
    started = time.monotonic()
    Trainer(model=model, args=arguments, train_dataset=rows).train()
    seconds = time.monotonic() - started
    found = [labels[int(number)] for number in model.predict(given["test"])]
    answered.write_text(json.dumps({"labels": found, "seconds": seconds}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
