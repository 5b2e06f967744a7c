"""The reference reports: which there are, when one is out of date, how they are run and published, and the
tables that docs/claims.md takes from them.

For maintainers: `make reference`, or `python -m qnb.reports [NAME ...]`.
"""
