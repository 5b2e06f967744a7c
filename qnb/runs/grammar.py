"""A grammar that takes longer to build than all else that `qnb` imports, and that nothing here needs."""

import sys

GRAMMAR = "rfc3987_syntax"


def leave_out() -> None:
    """Have jsonschema, which nbformat imports, find no grammar of internationalized addresses: it is built at
    the import, 0.8 s each time, for a format that no notebook has.

    jsonschema does without that format where the package is not installed. For processes of qnb's own, before
    nbformat is imported: in a user's process the format may be wanted.
    """
    sys.modules.setdefault(GRAMMAR, None)  # type: ignore[arg-type]
