"""OpenVINO behind the Engine protocol: the same ONNX files in bfloat16, where the processor has units for it, or most
of their products in 8 bits.
"""

# openvino's annotations are partial: ports, tensors and results come untyped.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

from __future__ import annotations

import importlib.util
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from xml.etree import ElementTree

import numpy as np

from tsugiki.backbones.inputs import stack
from tsugiki.backbones.signature import FEATURES, SLOTS, down, up
from tsugiki.domain import EngineName
from tsugiki.ports import Adapters, BankType, Graphs
from tsugiki.runtime.engines.lone import EVERY, LoneRows
from tsugiki.runtime.engines.processor import told
from tsugiki.runtime.once import Once
from tsugiki.runtime.priority import standing_back

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsugiki.backbones.source import Source
    from tsugiki.domain import Floats, InputRow

OpenVino: TypeAlias = Literal["openvino", "openvino-int8"]

# A thread; MiniLM on AVX-512, texts of 15 tokens, rows a pass: in bf16 8 gave 498/s, 16 509/s, 32 497/s; in 8 bits, two
# passes at a time, 1,093, 1,116 and 1,002.
PASS_TOKENS = 256
ROUNDED_TOGETHER = 192  # numbers of a row with one scale, in 8 bits: half of a token's of MiniLM; see eight_bits.py
PRECISIONS: Mapping[OpenVino, str] = {"openvino": "bf16", "openvino-int8": "int8"}
# Of positions. Attention yields a row the same in any company where they are at most MIXED or a multiple of VECTOR:
# beyond, softmax sums a last vector that is not full in another order, and AMX's products those of an odd number. There
# even ones below UNEVEN are others too, and in 8 bits fewer than LEAST in all of a pass.
VECTOR = 16
MIXED = 2 * VECTOR
UNEVEN = 8
LEAST = 5
# Convolutions, from the pixels on, that stay in fp32. EfficientNet-Lite0's cosine to fp32 is 0.9996 with two, with none
# it was 0.9982, no faster: with AMX four pictures take 14 ms, 33 to 40 by onnxruntime. Lite1 and lite2 drift all the
# same: 0.9964, 0.9988. Nothing goes past these two: where it did, and a product in fp32 was to add it, OpenVINO 2026.4
# wrote beyond its memory.
EXACT: Mapping[str, int] = {"efficientnet": 2}
CONVOLUTIONS = ("Convolution", "GroupConvolution")  # OpenVINO's
KEPT_BANKS = 8  # wrapped banks a compiled graph remembers: one a rack, of which there are few


def why_not() -> str | None:
    """None where the engine can serve here; else what is missing."""
    if importlib.util.find_spec("openvino") is None:
        return "the package openvino is not installed (pip install 'tsugiki[openvino]')"
    if "BF16" not in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        return "this processor has no units for bfloat16"
    return None


def no_gain_in_eight_bits() -> str | None:
    """None where `openvino-int8` may be faster than `openvino`.

    With AMX its 8 bits are made bfloat16 before each product: MiniLM took 1.3 times as long on a Xeon of the fifth
    generation, which passes at a noisy time would not show.
    """
    if "amx_bf16" in told("flags").split():
        return "with AMX, OpenVINO multiplies in bfloat16 what is in 8 bits"
    return None


class OpenVinoEngine:
    """`passes` run at a time, each on `threads` threads; more wait, and begin the moment that one ends, whatever the
    interpreter does then. One without adapters that is wanted at once runs beside them.

    `known` are rows of `source`, prepared as those to come. In 8 bits, what is no product of `backbones/eight_bits.py`
    is computed in bfloat16.
    OpenVINO runs no more passes of one model at a time than there are cores: those wanted at once have a model of their
    own, whose threads do not stand back. It costs the memory of the weights once more. Rows that come alone have models
    of their own, see `LoneRows`, where it is `roomy`.

    A row's features are bit-equal in any company, whatever it is padded to. OpenVINO would compile what is between a
    graph's products into kernels of its own ("snippets"), with which attention felt the padding: of 200 texts 2 to 10 %
    were others in company, by up to 1e-3. They are off: a full pass of MiniLM takes a tenth less, one of Whisper a
    tenth more. For what else feels it see `evened`. Not met yet, with AMX: of 192 rows with strong adapters one of e5's
    and one of USE's were others in company, by 2e-4 and 3e-3, none of MiniLM's and Whisper's; and USE in 8 bits.
    """

    bank_type: BankType = "bfloat16"
    queues = True

    def __init__(
        self,
        name: OpenVino,
        graphs: Graphs,
        source: Source,
        known: Sequence[InputRow],
        *,
        passes: int,
        threads: int,
        roomy: bool,
    ) -> None:
        self.name: EngineName = name
        self.precision = PRECISIONS[name]
        self.pass_tokens = PASS_TOKENS * threads
        core = _core()
        read: Callable[[Path], Any] = core.read_model  # openvino's
        if self.precision == "int8":
            read = _reader(core, graphs.graph, known)
        if exact := EXACT.get(source.network):
            read = _exact(core, read, exact)

        def compiled(model: Any) -> _Compiled:  # openvino's
            return _Compiled(core, model, passes=passes, threads=threads)

        plain = read(graphs.graph)
        self._plain = compiled(plain)
        self._beside = _Compiled(core, plain, passes=1, threads=threads, background=False)
        # A first pass lays the weights out: 40 ms, and up to 500 beside the passes that this one is not to wait for.
        self._beside.run(dict(stack(known[:1])))
        self._source = source
        self._lone = LoneRows(lambda: _Compiled(core, plain, passes=1, threads=threads)) if roomy else None
        self._banked: Once[tuple[str, ...], _Compiled] = Once(
            lambda modules: compiled(read(graphs.bank_graph(modules, self.bank_type)))
        )

    def prepare(self, modules: tuple[str, ...]) -> None:
        self._banked.get(modules)

    def run(self, rows: Sequence[InputRow], adapters: Adapters | None = None, *, at_once: bool = False) -> Floats:
        longest = max(map(len, rows))
        if adapters is None and len(rows) == 1 and not at_once and self._lone is not None:
            inputs: dict[str, Any] = dict(stack(rows, self._padded(longest, EVERY)))
            features = self._lone.run(inputs)
            return self._plain.run(inputs) if features is None else features
        inputs = dict(stack(rows, self._padded(longest)))
        if adapters is None:
            return (self._beside if at_once else self._plain).run(inputs)
        inputs[SLOTS] = np.ascontiguousarray(adapters.slots)
        compiled = self._banked.get(adapters.modules)
        return compiled.run(inputs | compiled.wrapped(adapters))

    def _padded(self, length: int, every: int = 1) -> int:
        """What a row of this length is made, where rows have lengths."""
        source = self._source
        if not source.longest:
            return 0
        positions = -(-source.positions(length) // every) * every
        return source.length(evened(positions) if source.attends else positions)


def evened(positions: int) -> int:
    """The next number of them that attention does not tell from others. `3 -> 5; 6 -> 7; 31 -> 31; 33 -> 48`"""
    if positions > MIXED:
        return -(-positions // VECTOR) * VECTOR
    return positions if positions >= UNEVEN else max(positions | 1, LEAST)


def _reader(core: Any, graph: Path, known: Sequence[InputRow]) -> Callable[[Path], Any]:  # openvino's
    """Reads graphs over `graph` in 8 bits."""
    from tsugiki.backbones.eight_bits import in_eight_bits, seen  # and onnx, which most of what serves does without

    magnitudes = seen(graph, known)
    return lambda over: core.read_model(in_eight_bits(over, magnitudes))


def _exact(core: Any, read: Callable[[Path], Any], convolutions: int) -> Callable[[Path], Any]:  # openvino's
    """As `read`, the first `convolutions` to stay in fp32: a mark that only OpenVINO's own format can bear."""
    import openvino

    def reading(graph: Path) -> Any:  # openvino's
        with tempfile.TemporaryDirectory(prefix="tsugiki-network-") as folder:
            file = Path(folder) / "network.xml"
            openvino.save_model(read(graph), file, compress_to_fp16=False)
            network = ElementTree.parse(file)
            layers = (layer for layer in network.iter("layer") if layer.get("type") in CONVOLUTIONS)
            for layer in islice(layers, convolutions):
                mark = ElementTree.Element("rt_info")
                ElementTree.SubElement(mark, "attribute", name="precise", version="0")
                layer.insert(1, mark)  # behind its data
            network.write(file)
            return core.read_model(file)

    return reading


class _Compiled:
    """One graph; requests are reused, one for each pass that runs at the same time."""

    def __init__(
        self,
        core: Any,  # openvino's, as the model
        model: Any,
        *,
        passes: int,
        threads: int,
        background: bool = True,
    ) -> None:
        config = {
            "INFERENCE_PRECISION_HINT": "bf16",
            "NUM_STREAMS": passes,
            "INFERENCE_NUM_THREADS": passes * threads,
            "ENABLE_CPU_PINNING": False,  # the cores are shared with everything else of the service
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": ROUNDED_TOGETHER,  # of products whose weights are bytes
            "SNIPPETS_MODE": "DISABLE",  # not documented; 2026.1 to 2026.4 know it
        }

        def compile_model() -> Any:  # openvino's
            return core.compile_model(model, "CPU", config)

        # Passes run in threads that are started here, not in their callers'.
        self._model = standing_back(compile_model) if background else compile_model()
        self._idle: deque[Any] = deque()
        self._lock = threading.Lock()
        self._banks: dict[int, tuple[Adapters, dict[str, Any]]] = {}

    def run(self, inputs: dict[str, Any]) -> Floats:
        """`inputs` are openvino's tensors, or arrays as they lie in memory, which is read until the pass has ended."""
        try:
            request = self._idle.pop()
        except IndexError:
            request = self._model.create_infer_request()
        # What `infer` makes of a dictionary of arrays and of results costs 0.1 ms a pass, of 0.3 that are not the pass.
        for name, values in inputs.items():
            request.set_tensor(name, _tensor(values))
        request.start_async()
        request.wait()
        # The request's own memory: the next pass writes over it.
        features = np.array(request.get_tensor(FEATURES).data, np.float32)
        self._idle.append(request)  # one whose pass failed is not used again
        return features

    def wrapped(self, adapters: Adapters) -> dict[str, Any]:
        """The banks as tensors over the same memory; made once for banks that stay."""
        key = id(adapters.banks)
        known = self._banks.get(key)
        if known is not None and known[0].banks is adapters.banks:
            return known[1]
        tensors: dict[str, Any] = {}
        for module in adapters.modules:
            for name, bank in zip((down(module), up(module)), adapters.banks[module], strict=True):
                tensors[name] = _bfloat16(bank)
        with self._lock:
            while len(self._banks) >= KEPT_BANKS:
                del self._banks[next(iter(self._banks))]
            self._banks[key] = (adapters, tensors)
        return tensors


def _tensor(values: Any) -> Any:  # Any: openvino's, which stays as it is, or an array, whose memory it shares
    import openvino

    return values if isinstance(values, openvino.Tensor) else openvino.Tensor(values, shared_memory=True)


def _bfloat16(bits: NDArray[np.uint16]) -> Any:  # Any: openvino's
    import openvino

    return openvino.Tensor(bits, list(bits.shape), openvino.Type.bf16)


def _core() -> Any:  # Any: openvino's
    import openvino  # its package of usage reports comes with it; only its converter, unused here, sends any

    return openvino.Core()
