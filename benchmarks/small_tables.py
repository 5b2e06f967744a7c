"""Accuracy on small tables: QuantumClassifier with its defaults, and with re-uploading, beside classical models.

    python -m benchmarks small_tables

240 rows train, 1,000 test; medians over seeds, each of which draws the rows and the generator's own constants. No
parameter was chosen by table. The tables follow the kinds of Bowles, Ahmed and Schuld, arXiv:2403.07059 (2024).
"""

from collections.abc import Callable

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from qnb import QuantumClassifier

ROWS, TEST = 240, 1000
COLUMNS = (2, 5, 10)
SEEDS = 3

Table = tuple[np.ndarray, np.ndarray]  # X (rows, columns) and y (rows,) in {0, 1}


def hyperplane(rng: np.random.Generator, rows: int, columns: int) -> Table:
    """Uniform on [-1, 1]^columns, on either side of a plane through 0, none within 0.02 * columns of it."""
    normal = rng.normal(size=columns)
    X = rng.uniform(-1, 1, (20 * rows, columns))
    distance = X @ normal / np.linalg.norm(normal)
    far = np.flatnonzero(np.abs(distance) > 0.02 * columns)[:rows]
    return X[far], (distance[far] > 0).astype(int)


def circles(rng: np.random.Generator, rows: int, columns: int) -> Table:
    """Circles of radius 0.5 and 1 in a random plane, noise 0.1 in every direction."""
    y, angle = rng.integers(0, 2, rows), rng.uniform(0, 2 * np.pi, rows)
    X = rng.normal(scale=0.1, size=(rows, columns))
    X[:, :2] += np.where(y, 0.5, 1.0)[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    return X @ np.linalg.qr(rng.normal(size=(columns, columns)))[0], y


def curves(rng: np.random.Generator, rows: int, columns: int) -> Table:
    """Two closed curves, random Fourier series of degree 3, noise 0.1."""
    y, phase = rng.integers(0, 2, rows), 2 * np.pi * rng.uniform(size=(rows, 1)) * np.arange(1, 4)
    cosines, sines = rng.normal(size=(2, 2, columns, 3)) / np.sqrt(6)
    X = np.einsum("rck,rk->rc", cosines[y], np.cos(phase)) + np.einsum("rck,rk->rc", sines[y], np.sin(phase))
    return X + rng.normal(scale=0.1, size=X.shape), y


def parity(rng: np.random.Generator, rows: int, columns: int) -> Table:
    """Whether an odd number of the first three bits (two of two) is set; all are noisy by 0.1."""
    bits = rng.integers(0, 2, (rows, columns))
    return bits + rng.normal(scale=0.1, size=bits.shape), bits[:, :3].sum(axis=1) % 2


def nearest_mean(rng: np.random.Generator, rows: int, columns: int) -> Table:
    """Two normal classes, means 2.5 standard deviations apart: no rule is right more often than 0.894."""
    y, direction = rng.integers(0, 2, rows), rng.normal(size=columns)
    shift = 2.5 * direction / np.linalg.norm(direction)
    return y[:, None] * shift + rng.normal(size=(rows, columns)), y


GENERATORS: dict[str, Callable[[np.random.Generator, int, int], Table]] = {
    f.__name__: f for f in (hyperplane, circles, curves, parity, nearest_mean)
}
MODELS: dict[str, Callable[[int], ClassifierMixin]] = {
    "QuantumClassifier": lambda seed: QuantumClassifier(engine="exact", random_state=seed),
    "re-uploading": lambda seed: QuantumClassifier(engine="exact", reupload=True, random_state=seed),
    "SVM": lambda seed: make_pipeline(StandardScaler(), SVC()),
    "logistic": lambda seed: make_pipeline(StandardScaler(), LogisticRegression()),
}


def accuracy(generator: str, columns: int, model: str, seed: int) -> float:
    """On test rows, trained on ROWS others."""
    rng = np.random.default_rng([seed, columns])
    X, y = GENERATORS[generator](rng, ROWS + TEST, columns)
    return float(MODELS[model](seed).fit(X[:ROWS], y[:ROWS]).score(X[ROWS:], y[ROWS:]))


def main() -> None:
    """Print a line per generator and number of columns."""
    print(f"{'generator':14}{'columns':>8}" + "".join(f"{name:>19}" for name in MODELS))
    for generator in GENERATORS:
        for columns in COLUMNS:
            medians = [
                np.median([accuracy(generator, columns, model, seed) for seed in range(SEEDS)])
                for model in MODELS
            ]
            print(f"{generator:14}{columns:>8}" + "".join(f"{m:>19.3f}" for m in medians), flush=True)


if __name__ == "__main__":
    main()
