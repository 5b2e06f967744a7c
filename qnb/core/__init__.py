"""The model and its gradient: circuit, head and loss, the engines that compute them, and the gradient check.

In: a CircuitSpec, an Objective, parameters, and batches of angles X (B, features), labels y (B,), weights w
(B,).
Out: scores (B,), a loss and its gradient, and a GateReport that says whether the gradient can be trusted.
This room knows no data source, configuration or optimiser, and only the engine `catalyst` knows Catalyst.
Open `circuit` first (what is computed), then `engine` (the interface) and `gate` (why a gradient is
trusted).
"""
