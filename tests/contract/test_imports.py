"""What may be imported where: kernels stay on numpy and scipy, and nothing slow loads unasked."""

from __future__ import annotations

import ast
import json
import subprocess
import sys

import pytest

KERNELS_MAY_IMPORT = {*sys.stdlib_module_names, "numpy", "scipy", "metaexo"}
# The one kernel file that hands work to others.
ALSO = {"tau2.py": {"joblib"}}
SLOW = ("scipy.stats", "matplotlib.pyplot")

WALK = """
import json, pkgutil, sys
import metaexo
slow, blame = set(json.loads(sys.argv[1])), {}
for module in pkgutil.walk_packages(metaexo.__path__, "metaexo."):
    if not module.name.endswith("__main__"):
        __import__(module.name)
        for name in sorted(slow & set(sys.modules)):
            blame.setdefault(name, module.name)
print(json.dumps([blame, sorted(name for name in sys.modules if name.startswith("metaexo."))]))
"""


def test_kernels_import_numpy_and_scipy_only(root):
    files = sorted((root / "metaexo" / "numeric").glob("*.py"))
    assert files
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            else:
                continue
            allowed = KERNELS_MAY_IMPORT | ALSO.get(path.name, set())
            strangers = {name.split(".")[0] for name in names} - allowed
            assert not strangers, f"{path.name} line {node.lineno} imports {strangers}"


@pytest.fixture(scope="module")
def walk(root):
    command = [sys.executable, "-c", WALK, json.dumps(SLOW)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_every_module_imports(walk, root):
    _, loaded = walk
    folder = root / "metaexo"
    files = {path.relative_to(root).with_suffix("") for path in folder.rglob("*.py")}
    wanted = {".".join(path.parts).removesuffix(".__init__") for path in files}
    assert set(loaded) == wanted - {"metaexo", "metaexo.__main__"}


@pytest.mark.parametrize("name", SLOW)
def test_no_module_loads_something_slow_when_it_is_imported(walk, name):
    blame, _ = walk
    assert name not in blame, f"{blame[name]} brings in {name}; import it inside the function that needs it"
