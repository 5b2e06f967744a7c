"""From a table to angles: read, clean, draw, split, transform.

In: a data source (the bundled capture, a table of scikit-learn, a CSV, Parquet or Zeek file) and the data
parameters.
Out: a `Prepared`: angles and labels of training, validation and test rows, the FeatureMap fitted on training
rows alone, and the report's data card.
Open `prepare` first (the whole path), then `table` (from a source to rows) and `splits` (from rows to
sides).
"""
