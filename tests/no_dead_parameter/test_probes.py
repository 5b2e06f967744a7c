import pytest
from dead_parameters import cases, require_found_or_refused


@pytest.mark.slow
@pytest.mark.parametrize(("notebook", "name"), cases("probes"))
def test_every_parameter_changes_what_is_found_or_is_refused(notebook, name, project, monkeypatch):
    require_found_or_refused(notebook, name, project, monkeypatch)
