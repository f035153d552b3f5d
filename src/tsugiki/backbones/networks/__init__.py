"""The pretrained networks as torch modules, from whatever files their weights come in.

Each module has `features(source, attention)`: the network of a source, in eval mode and float32, from a batch as
`inputs.stack` makes it to features (batch, feature_dim). Raises Mismatch. Its `encoder` is the network as pretrained.
Of its features the last part is made from block `middle` (None: there is none); where the blocks up to that one do not
run, `lower` is to be set to their part of the batch's features, (batch, dim) float32.
"""

from typing import Literal

# "eager" is for the exporter: sdpa exports with a NaN guard a layer, slower and with the same values.
Attention = Literal["eager", "sdpa"]
