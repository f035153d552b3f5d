"""The Python client: httpx and the standard library, nothing of the service's core.

with Client(key="...") as tsugiki:
    tsugiki.adapt("support", [("I was charged twice", "billing"), ("Where is my parcel?", "delivery"), ...])
    tsugiki.predict("support", "The courier never came")[0].label  # 'delivery'
    tsugiki.adapt("insects", [(Path("a.jpg"), "ant"), (Path("b.jpg"), "bee"), ...])
    tsugiki.predict("insects", [Path("c.jpg"), PIL.Image.open("d.png"), open("e.jpg", "rb").read()]).labels
"""

from tsugiki.client.client import Client
from tsugiki.client.inputs import Input, NewSample
from tsugiki.client.problem import TsugikiProblem
from tsugiki.client.replies import (
    Adaptation,
    Adapted,
    Export,
    Prediction,
    Predictions,
    Project,
    SampleBatch,
    Version,
)
from tsugiki.client.sounds import Audio

__all__ = [
    "Adaptation",
    "Adapted",
    "Audio",
    "Client",
    "Export",
    "Input",
    "NewSample",
    "Prediction",
    "Predictions",
    "Project",
    "SampleBatch",
    "TsugikiProblem",
    "Version",
]
