"""Circuits of one's own for tests: layers of published papers, random gates, re-uploading, Pauli words."""

import numpy as np
import pennylane as qml

from qnb.core.circuit import CircuitSpec, Layer, Measurement, Pattern


def brickwork(weights, wires, layer):
    """Two-wire gates on alternating pairs."""
    for i in wires:
        qml.RX(weights[i, 0], wires=i)
        qml.RZ(weights[i, 1], wires=i)
    for i in range(layer % 2, wires - 1, 2):
        qml.IsingZZ(weights[i, 2], wires=[i, i + 1])


def all_to_all(weights, wires, layer):
    """Sim, Johnson and Aspuru-Guzik, Adv. Quantum Technol. 2, 1900070, 2019, circuit 6: CRX between all wires."""
    n = len(wires)
    for i in wires:
        qml.RX(weights[i, 0], wires=i)
        qml.RZ(weights[i, 1], wires=i)
    for control in reversed(wires):
        for target in wires:
            if target != control:
                qml.CRX(weights[control, 2 + (target - control) % n], wires=[control, target])


def hardware_efficient(weights, wires, layer):
    """Kandala et al., Nature 549, 242, 2017: rotations and a chain of CZ."""
    for i in wires:
        qml.Rot(*weights[i], wires=i)
    for i in wires[:-1]:
        qml.CZ(wires=[i, i + 1])


def basic_entangler(weights, wires, layer):
    """PennyLane's template, as one layer of it."""
    qml.BasicEntanglerLayers(weights[None], wires=wires, rotation=qml.RY)


def simplified_two_design(weights, wires, layer):
    """Cerezo et al., Nature Communications 12, 1791, 2021; PennyLane's template."""
    n = len(wires)
    qml.SimplifiedTwoDesign(weights[:n], weights[n:].reshape(1, n - 1, 2), wires=wires)


def particle_conserving(weights, wires, layer):
    """Gates of several generators: Givens rotations, SingleExcitation and an iSWAP."""
    for i in range(0, wires - 1, 2):
        qml.SingleExcitation(weights[i, 0], wires=[i, i + 1])
        qml.IsingXY(weights[i, 1], wires=[i, i + 1])
    qml.ISWAP(wires=[wires[-1], wires[0]])
    for i in wires:
        qml.RX(weights[i, 2], wires=i)


def reuploading(weights, wires, layer, x):
    """Pérez-Salinas et al., Quantum 4, 226, 2020: a trained scale and shift of each angle, in every layer."""
    for i in wires:
        qml.RY(weights[0, i] * x[i] + weights[1, i], wires=i)
        qml.RZ(weights[2, i], wires=i)
    for i in wires[:-1]:
        qml.CNOT(wires=[i, i + 1])


def controlled(weights, wires, layer):
    """Operations that wrap others, of two and three wires."""
    for i in wires:
        qml.U3(*weights[i], wires=i)
    qml.ctrl(qml.RY, control=wires[0])(weights[0, 0], wires=wires[1])
    qml.adjoint(qml.S)(wires=wires[0])
    qml.PauliRot(weights[1, 1], "XYZ"[: len(wires)].ljust(len(wires), "X"), wires=wires)
    qml.Toffoli(wires=wires[:3])
    qml.QubitUnitary(np.array([[1, 1j], [1j, 1]]) / np.sqrt(2), wires=wires[2])


def iqp(x, wires):
    """Havlíček et al., Nature 567, 209, 2019: products of features between Hadamards."""
    qml.IQPEmbedding(x, wires=wires)


def dense(x, wires):
    """Every feature twice on its wire, not in the form of an angle alone."""
    for i in wires:
        qml.RX(2 * x[i], wires=i)
        qml.RZ(x[i] ** 2, wires=i)


ONE_WIRE = [("RX", 1), ("RY", 1), ("RZ", 1), ("PhaseShift", 1), ("Rot", 3), ("U2", 2), ("Hadamard", 0), ("SX", 0), ("T", 0)]
TWO_WIRES = [("CNOT", 0), ("CZ", 0), ("CY", 0), ("SWAP", 0), ("CRX", 1), ("CRY", 1), ("CRZ", 1), ("CRot", 3)]
TWO_WIRES += [("IsingXX", 1), ("IsingYY", 1), ("IsingZZ", 1), ("ControlledPhaseShift", 1), ("ISWAP", 0), ("SingleExcitation", 1)]


class Draw:
    """A layer of gates drawn once from a seed, (wires, 3) weights, some shared by several gates."""

    def __init__(self, seed, wires, count):
        rng = np.random.default_rng(seed)
        self.gates = []
        for _ in range(count):
            table = ONE_WIRE if wires == 1 or rng.random() < 0.5 else TWO_WIRES
            name, numbers = table[rng.integers(len(table))]
            places = rng.permutation(wires)[: 1 if table is ONE_WIRE else 2].tolist()
            self.gates.append((name, places, rng.integers(0, (wires, 3), (numbers, 2)).tolist()))

    def layer(self):
        """It as a function."""
        gates = self.gates

        def drawn(weights, wires, layer):
            for name, places, numbers in gates:
                getattr(qml, name)(*(weights[i, j] for i, j in numbers), wires=places)

        return drawn


def chain(wires, layer):
    """CNOTs along a line."""
    return [(i, i + 1) for i in range(wires - 1)]


def random_spec(wires):
    """A circuit of gates drawn with that seed."""
    word = "".join(np.random.default_rng(wires).choice(list("IXYZ"), wires))
    words = [word, "Z" * wires] if set(word) != {"I"} else ["Z" * wires]
    count = 6 + 3 * wires
    return CircuitSpec(wires, 2, ansatz=Draw(wires, wires, count).layer(), measurement=words, reupload=wires % 2 == 0)


OWN = {
    "brickwork": CircuitSpec(4, 3, ansatz=brickwork),
    "all to all": CircuitSpec(3, 1, ansatz=Layer(all_to_all, lambda n: (n, n + 2)), measurement="mean_z"),
    "hardware efficient": CircuitSpec(3, 2, ansatz=hardware_efficient, measurement=Measurement(words=lambda n: ["Z" * n])),
    "basic entangler": CircuitSpec(3, 2, ansatz=Layer(basic_entangler, lambda n: (n,)), measurement="z_vec"),
    "two-design": CircuitSpec(3, 1, ansatz=Layer(simplified_two_design, lambda n: (3 * n - 2,)), measurement="z0"),
    "particles": CircuitSpec(4, 1, ansatz=particle_conserving, measurement=["XXII", "ZZII", "IIYY"]),
    "re-uploading": CircuitSpec(2, 3, encoder=iqp, ansatz=Layer(reuploading, lambda n: (3, n)), measurement="mean_z"),
    "scaled input": CircuitSpec(3, 1, encoder=lambda x, wires: None, ansatz=Layer(reuploading, lambda n: (3, n))),
    "scaled by the option": CircuitSpec(2, 1, encoder=dense, ansatz=brickwork, measurement="z0", scaling=True),
    "controlled": CircuitSpec(3, 1, ansatz=controlled, measurement=Measurement(None, words=["ZII", "IXY", "YYZ", "III"])),
    "trained words, turned": CircuitSpec(
        3,
        1,
        ansatz=Pattern(chain),
        measurement=Measurement(None, rotated=True, words=["ZZI", "IZZ"]),
        encoder=dense,
        reupload=True,
    ),
    "turned parity": CircuitSpec(
        2, 2, measurement=Measurement([2.0, -0.5], rotated=True, words=[qml.Z(0) @ qml.Z(1), qml.X(0)]), hadamard=True
    ),
    "a pattern": CircuitSpec(4, 3, ansatz=Pattern(chain), encoder="angle_xy", measurement="z_vec"),
}
