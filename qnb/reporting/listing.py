"""The computation as source code: the circuit in PennyLane, and the program that differentiates it."""

import ast
import html
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qnb import own
from qnb.errors import ParameterError

if TYPE_CHECKING:  # what draws a run folder needs no compiler
    from qnb.core.circuit import CircuitSpec

# by engine, the module and the functions that are its gradient
GRADIENTS = {
    "catalyst": ("qnb.core.catalyst", ("_score_qnode", "_value_qnode", "_gradient_program")),
    "exact": ("qnb.core.exact", ("_loss_and_grad",)),
    "one_sample_demo": ("qnb.core.one_sample", ("loss_and_grad",)),
}
ENCODERS = {
    "angle_y": ["for i in wires:", "    qml.RY(x[i], wires=i)"],
    "angle_xy": ["for i in wires:", "    qml.RX(x[i], wires=i)", "    qml.RY(x[i], wires=i)"],
    "amplitude": ["qml.StatePrep(x / (x @ x) ** 0.5, wires=range(wires))"],
}
HADAMARD = ["for i in wires:", "    qml.Hadamard(wires=i)", "    qml.RY(x[i], wires=i)"]
TURNS = ["qml.RZ({0}[0], wires=i)", "qml.RY({0}[1], wires=i)", "qml.RZ({0}[2], wires=i)"]


def circuit_code(spec: "CircuitSpec") -> str:
    """The circuit as PennyLane code: a QNode score(weights, readout, x), preceded by the source of your own
    parts; with a trained scaling, score(weights, readout, x, scaling).
    """
    parts = [part for name in own.PARTS if isinstance(part := getattr(spec, name), own.Own)]
    texts = dict.fromkeys(text for part in parts if (text := own.source_of(part).rstrip()))
    lines = [
        *(f"{text}\n\n" for text in texts),
        "import pennylane as qml",
        "from qnb.core.parts import Register",
        "",
        f"wires = Register({spec.wires})",
        f"words = {list(spec.words)}",
        "",
        "",
        f'@qml.qnode(qml.device("default.qubit", wires={spec.wires}))',
        f"def score(weights, readout, x{', scaling' * spec.scaling}):",
        f"    for layer in range({spec.layers}):",
        *_indented(_encoding(spec), 2 if spec.reupload else 3, "" if spec.reupload else "if layer == 0:"),
        *_indented(_layer(spec), 2),
        *_indented(_readout(spec), 1),
        "    observables = [qml.pauli.string_to_pauli_word(word) for word in words]",
        f"    return qml.expval(qml.Hamiltonian({_coefficients(spec)}, observables))",
    ]
    return "\n".join(lines)


def _indented(lines: list[str], depth: int, head: str = "") -> list[str]:
    before = ["    " * (depth - 1) + head] if head else []
    return before + ["    " * depth + line for line in lines]


def _encoding(spec: "CircuitSpec") -> list[str]:
    if isinstance(spec.encoder, own.Own):
        lines = [f"{spec.encoder.name}(x, wires)"]
    else:
        lines = HADAMARD if spec.hadamard else ENCODERS[spec.encoder]
    if not spec.scaling:
        return lines
    scaled = [line.replace("(x", "(scaled") for line in lines]
    return ["scaled = scaling[layer] * x", *scaled]


def _layer(spec: "CircuitSpec") -> list[str]:
    from qnb.core.circuit import Pattern

    if not isinstance(spec.layer, Pattern):
        return [f"{own.name_of(spec.layer)}(weights[layer], wires, layer)"]
    cnots = [spec.cnots(layer) for layer in range(spec.layers)]
    return [
        "for i in wires:",
        *(f"    {line.format('weights[layer, i]')}" for line in TURNS),
        f"for control, target in {cnots}[layer]:",
        "    qml.CNOT(wires=[control, target])",
    ]


def _readout(spec: "CircuitSpec") -> list[str]:
    if not spec.measured.rotated:
        return []
    start = f"{len(spec.words)} + 3 * i" if spec.measured.weighted else "3 * i"
    return ["for i in wires:", *(f"    {line.format(f'readout[{start}:]')}" for line in TURNS)]


def _coefficients(spec: "CircuitSpec") -> str:
    fixed = spec.measured.fixed(spec.wires)
    return f"readout[:{len(spec.words)}]" if fixed is None else str(fixed.tolist())


def gradient_code(engine: str) -> str:
    """The source of the functions of an engine that compute loss and gradient; its module is not imported.

    Raises:
        ParameterError: the engine is not one of qnb's.
    """
    if engine not in GRADIENTS:
        raise ParameterError(f"engine = {engine!r} has no file of qnb's.")
    module, names = GRADIENTS[engine]
    spec = importlib.util.find_spec(module)
    assert spec is not None and spec.origin is not None, "the modules of the table are qnb's"
    text = Path(spec.origin).read_text("utf-8")
    nodes = {n.name: n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef)}
    sources = (ast.get_source_segment(text, nodes[name], padded=True) or "" for name in names)
    return "\n\n".join([f"# {module.replace('.', '/')}.py", *sources])


def listing(spec: "CircuitSpec", engine: str) -> Any:
    """`circuit_code` and `gradient_code` as folded HTML (IPython's), for a notebook.

    Raises:
        ParameterError: the engine is not one of qnb's.
    """
    from IPython.display import HTML

    parts = {
        "The circuit as PennyLane code": circuit_code(spec),
        f"What engine {engine!r} differentiates": gradient_code(engine),
    }
    return HTML(
        "".join(
            f"<details><summary>{html.escape(title)}</summary><pre>{html.escape(code)}</pre></details>"
            for title, code in parts.items()
        )
    )
