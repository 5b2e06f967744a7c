"""From prepared rows to a trained model: batches, optimiser, loop, checkpoints, metrics, model files.

In: a TrainConfig, and rows from `qnb.data.prepare` or the caller's own.
Out: a TrainResult: history, metrics, gradient check, and a Model of the best epoch that scores raw rows.
Open `train` first (the whole path), then `loop` (an epoch) and `model` (what is kept).
"""
