"""The arithmetic behind the diagnostic notebooks, one file per probe."""
