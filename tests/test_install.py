"""What is locked is what is installed: no command resolves anything, and the locks lack nothing on any supported Python."""

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.markers import Marker, default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from qnb.probes import stacks

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCKS = sorted([*ROOT.glob("*.lock"), *stacks.LOCKS.glob("*.lock")])

PLATFORMS = {
    "Linux": {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64", "os_name": "posix"},
    "macOS": {"sys_platform": "darwin", "platform_system": "Darwin", "platform_machine": "arm64", "os_name": "posix"},
}
PYTHONS = ("3.11", "3.12", "3.13")
ENVIRONMENTS = {
    f"{python} {platform}": {**default_environment(), **markers, "python_version": python, "python_full_version": f"{python}.1"}
    for python in PYTHONS
    for platform, markers in PLATFORMS.items()
}
SETS = {  # what is installed together: the locks, and the extras of the project that they are for
    "run": (("requirements.lock",), ("build",)),
    "test": (("requirements.lock", "requirements-test.lock"), ("build", "test", "docs")),
    "peers": (("requirements.lock", "requirements-peers.lock"), ("build", "bench")),
}


def pins(texts):
    """[(name, version, marker or None)] of lock files."""
    found = []
    for line in "\n".join(texts).splitlines():
        if line and not line[0].isspace():
            requirement = Requirement(line.removesuffix("\\").strip())
            (specifier,) = requirement.specifier
            assert specifier.operator == "==" and "*" not in specifier.version, line
            found.append((canonicalize_name(requirement.name), specifier.version, requirement.marker))
    return found


def installed():
    """{name: its requirements} of every distribution of this environment."""
    return {canonicalize_name(d.name): d.requires or [] for d in importlib.metadata.distributions()}


def lacking(pinned, roots, requirements, environment):
    """What the pins that hold in `environment` lack of the roots and of what the pinned packages require, as sentences.

    Extras are followed where one package asks for another's. A package without metadata here is passed over if its marker says
    that it does not belong here.
    """
    active = {name: version for name, version, marker in pinned if marker is None or marker.evaluate(environment)}
    elsewhere = {name for name, _, marker in pinned if marker is not None and not marker.evaluate()}
    sentences, seen = [], set()
    queue = [("the project", Requirement(text)) for text in roots]
    while queue:
        asker, requirement = queue.pop()
        name = canonicalize_name(requirement.name)
        if name not in active:
            sentences.append(f"{asker} requires {requirement}, which the lock does not have")
            continue
        if not requirement.specifier.contains(active[name], prereleases=True):
            sentences.append(f"{asker} requires {requirement}, and the lock has {active[name]}")
        for extra in ["", *requirement.extras]:
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            if name not in requirements:
                if name not in elsewhere:
                    sentences.append(f"{name} is locked and not installed")
                continue
            for text in requirements[name]:
                child = Requirement(text)
                if child.marker is None or child.marker.evaluate({**environment, "extra": extra}):
                    queue.append((name, child))
    return sorted(set(sentences))


@pytest.mark.parametrize("environment", ENVIRONMENTS.values(), ids=ENVIRONMENTS)
@pytest.mark.parametrize("which", ["run", "test"])
def test_the_locks_lack_nothing_that_something_in_them_requires(which, environment):
    locks, extras = SETS[which]
    roots = PROJECT["dependencies"] + [r for extra in extras for r in PROJECT["optional-dependencies"][extra]]
    pinned = pins((ROOT / lock).read_text() for lock in locks)
    assert lacking(pinned, roots, installed(), environment) == []


@pytest.mark.parametrize("environment", ENVIRONMENTS.values(), ids=ENVIRONMENTS)
def test_locks_that_go_together_name_each_package_once(environment):
    for locks, _ in SETS.values():
        pinned = pins((ROOT / lock).read_text() for lock in locks)
        names = [name for name, _, marker in pinned if marker is None or marker.evaluate(environment)]
        assert len(set(names)) == len(names)


HERE = ENVIRONMENTS["3.12 Linux"]
COVERAGE = {
    "pytest-cov": ['coverage[toml]>=7.10; extra == "x"', "coverage[toml]>=7.10"],
    "coverage": ['tomli>=1; extra == "toml"'],
}


@pytest.mark.parametrize(
    "lock, found",
    [
        (["pytest-cov==7.1.0", "coverage==7.17.4", "tomli==2.0"], []),
        (
            ["pytest-cov==7.1.0", "coverage==7.17.4"],
            ['coverage requires tomli>=1; extra == "toml", which the lock does not have'],
        ),
        (["pytest-cov==7.1.0", "tomli==2.0"], ["pytest-cov requires coverage[toml]>=7.10, which the lock does not have"]),
        (["pytest-cov==7.1.0", "coverage==7.9", "tomli==2"], ["pytest-cov requires coverage[toml]>=7.10, and the lock has 7.9"]),
        (["coverage==7.17.4"], ["the project requires pytest-cov==7.1.0, which the lock does not have"]),
        (
            ["pytest-cov==7.1.0", "coverage==7.17.4 ; python_version < '3.12'", "tomli==2.0"],
            ["pytest-cov requires coverage[toml]>=7.10, which the lock does not have"],
        ),
        (["pytest-cov==7.1.0", "coverage==7.17.4", "tomli==2.0 ; sys_platform == 'darwin'"], ["coverage requires tomli>=1"]),
    ],
)
def test_what_a_lock_lacks_is_seen(lock, found):
    sentences = lacking(pins(lock), ["pytest-cov==7.1.0"], {**COVERAGE, "tomli": []}, HERE)
    assert len(sentences) == len(found) and all(s.startswith(f) for s, f in zip(sentences, found, strict=True))


def test_a_locked_package_that_is_not_installed_is_seen_unless_it_belongs_elsewhere():
    assert lacking(pins(["a==1"]), ["a"], {}, HERE) == ["a is locked and not installed"]
    not_here = "darwin" if default_environment()["sys_platform"] == "linux" else "linux"
    there = ENVIRONMENTS["3.12 macOS" if not_here == "darwin" else "3.12 Linux"]
    assert lacking(pins([f"a==1 ; sys_platform == '{not_here}'"]), ["a"], {}, there) == []


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_locks_hold_names_versions_and_hashes_alone(path):
    text = path.read_text()
    for name, version, marker in pins([text]):
        assert (
            re.fullmatch(r"[\w.-]+", name)
            and re.fullmatch(r"[\w.!+-]+", version)
            and (marker is None or isinstance(marker, Marker))
        )
    for line in text.splitlines():
        assert re.match(r"[\w.-]+==", line) or re.fullmatch(r" +--hash=sha256:[0-9a-f]{64}( \\)?", line), line
    assert "://" not in text and not re.search(r"==\S+( ; [^\\]+)?$", text, flags=re.M), "a requirement without a hash"


def test_every_dependency_is_pinned():
    for requirement in PROJECT["dependencies"] + [r for extra in PROJECT["optional-dependencies"].values() for r in extra]:
        assert re.fullmatch(r"[\w-]+==[\w.]+", requirement), requirement


def resolves(command):
    """Whether a pip install would look beyond what it is told: follow a dependency, or build from source with one."""
    locked = "--require-hashes" in command and "-r " in command and "--only-binary :all:" in command
    itself = "--no-build-isolation" in command and re.search(r"-e \.$", command.strip())
    return not ("--no-deps" in command and (locked or itself))


@pytest.mark.parametrize(
    "command, expected",
    [
        ("pip install -r requirements.lock", True),
        ("pip install --require-hashes --only-binary :all: -r requirements.lock", True),
        ("pip install --no-deps --require-hashes -r requirements.lock", True),  # a source distribution asks for a builder
        ("pip install --no-deps -e .", True),
        ("pip install --no-deps numpy==2.4.6", True),  # no hash
        ("pip install --no-deps --only-binary :all: --require-hashes -r requirements.lock", False),
        ("pip install --no-deps --no-build-isolation -e .", False),
    ],
)
def test_a_command_that_resolves_is_seen(command, expected):
    assert bool(resolves(command)) is expected


def test_the_makefile_installs_locks_and_checks_them():
    """Every command of every target, as make would run it."""
    targets = [".venv/.ready", ".venv/.ready-test", "peers"]
    command = ["make", "--dry-run", "--always-make", *targets]
    lines = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    pips = [line for line in lines if "pip install" in line]
    assert [line for line in pips if resolves(line)] == []
    read = [re.search(r"-r (\S+)", line).group(1) for line in pips if "-r " in line]
    assert read == ["requirements.lock", "requirements-test.lock", "requirements-peers.lock"]
    assert sum("pip check" in line for line in lines) == 2


def tracked():
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return [ROOT / n for n in names if n and (ROOT / n).exists()]


INSTALLER = re.compile(r"\b(pip3?|uv|conda|mamba|poetry|pipx)\b[\"', ]+(-\S+ +)*(pip +)?(install|add|sync|download|wheel)\b")


def test_no_other_text_says_how_to_install():
    """An install command stands in the Makefile; `stacks` installs other versions, from locks of their own."""
    own = {"Makefile", "test_install.py", "stacks.py"}
    for path in tracked():
        if path.name not in own and path.suffix not in {".png", ".npz", ".lock"}:
            found = [
                line
                for line in path.read_text("utf-8").splitlines()
                if INSTALLER.search(line) and "pre-commit install" not in line
            ]
            assert found == [], f"{path.relative_to(ROOT)}: name a target of the Makefile instead"


def test_conda_brings_python_and_make_alone():
    dependencies = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert [d.split("=")[0] for d in dependencies] == ["python", "make"]


@pytest.mark.parametrize("version", sorted(path.stem for path in stacks.LOCKS.glob("*.lock")))
def test_other_stacks_are_installed_from_locks(version):
    arguments = stacks.requirements(version)
    assert not resolves("pip install " + " ".join(arguments))
    assert ("pennylane-catalyst", version, None) in pins([(stacks.LOCKS / f"{version}.lock").read_text()])


def test_installed_stack_is_the_pinned_one():
    for requirement in PROJECT["dependencies"]:
        name, version = requirement.split("==")
        assert importlib.metadata.version(name) == version


def test_what_qnb_imports_is_declared():
    """Or comes with what is: pydantic's core, and the IPython of ipykernel; the other simulators are imported where they are."""
    comes_along, optional = {"pydantic_core": "pydantic", "IPython": "ipykernel"}, {"tensorcircuit"}
    declared = {canonicalize_name(Requirement(text).name) for text in PROJECT["dependencies"]}
    of_module = importlib.metadata.packages_distributions()
    imported = set()
    for path in (ROOT / "qnb").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            imported |= {name.split(".")[0] for name in names}
    for module in imported - set(sys.stdlib_module_names) - {"qnb"} - optional:
        found = {canonicalize_name(name) for name in [comes_along.get(module), *of_module.get(module, [])] if name}
        assert found & declared, f"{module} is imported and not among the dependencies of pyproject.toml"
