"""What the code must not contain, read from its syntax: no foreign pickle, no eval, no shell."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PYTHON = sorted(
    path for folder in ("pipeline", "benchmarks") for path in (REPOSITORY / folder).rglob("*.py")
)
RULES = [REPOSITORY / "Snakefile", *sorted((REPOSITORY / "rules").glob("*.smk"))]

#: Calls that run what a file, a params value or a file name says.
FORBIDDEN = {
    "eval", "exec", "compile", "__import__",
    "os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput",
    "pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.load", "marshal.loads",
    "shelve.open", "joblib.load", "dill.load", "dill.loads", "cloudpickle.load",
    "pandas.read_pickle", "pd.read_pickle",
    "yaml.load", "yaml.load_all", "yaml.full_load", "yaml.unsafe_load",
}  # fmt: skip
#: Function -> keyword -> the only values allowed; None: the keyword may be left out.
KEYWORDS: dict[str, dict[str, tuple[object, ...]]] = {
    "torch.load": {"weights_only": (True,)},
    "np.load": {"allow_pickle": (False, None)},
    "numpy.load": {"allow_pickle": (False, None)},
    "YAML": {"typ": ("safe",)},
    **{
        f"subprocess.{name}": {"shell": (False, None)}
        for name in ("run", "Popen", "call", "check_call", "check_output")
    },
}
#: File -> what it may call. The peer of the benchmark reads back files that it has just written,
#: as the code that it stands for does.
EXCEPTIONS = {"benchmarks/geometry/peer_loader.py": {"torch.load"}}


def _name(node: ast.expr) -> str:
    return ast.unparse(node) if isinstance(node, ast.Name | ast.Attribute) else ""


def findings(source: str) -> Iterator[str]:
    """Forbidden calls, base classes and imports in a module."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module in ("pickle", "yaml", "marshal"):
            yield f"from {node.module} import: the calls would not be seen here"
        if isinstance(node, ast.ClassDef):
            unsafe = {"pickle.Unpickler"}.intersection(map(_name, node.bases))
            methods = {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
            if unsafe and "find_class" not in methods:
                yield f"{node.name}: an Unpickler that admits every class"
        if not isinstance(node, ast.Call):
            continue
        name = _name(node.func)
        if name in FORBIDDEN:
            yield f"{name} in line {node.lineno}"
        given = {each.arg: each.value for each in node.keywords}
        for keyword, allowed in KEYWORDS.get(name, {}).items():
            value = given.get(keyword, ast.Constant(None))
            if not isinstance(value, ast.Constant) or value.value not in allowed:
                yield f"{name} in line {node.lineno}: {keyword} is {ast.unparse(value)}"


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_nothing_foreign_is_run(path: Path) -> None:
    excused = EXCEPTIONS.get(path.relative_to(REPOSITORY).as_posix(), set())
    found = [each for each in findings(path.read_text()) if each.split(" ")[0] not in excused]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "pickle.load(file)",
        "from pickle import loads",
        "class Any(pickle.Unpickler): pass",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.load(path, weights_only=flag)",
        "np.load(path, allow_pickle=True)",
        "yaml.load(text, Loader=yaml.Loader)",
        "YAML(typ='unsafe')",
        "YAML()",
        "eval(params.rate)",
        "os.system(f'rm {name}')",
        "subprocess.run(f'rm {name}', shell=True)",
    ],
)
def test_the_check_finds(source: str) -> None:
    assert list(findings(source))


#: What a command of a rule fills in; `threads` is a number.
_FILLED_IN = re.compile(r"\{((?:wildcards|input|output|log|params|resources)\b[^}]*)\}")


def unquoted(rules: str) -> list[str]:
    """Names that a rule puts into a command as they are."""
    commands = re.findall(r'shell:\s*((?:\s*[rf]*"[^"]*"\n?)+)', rules)
    return [
        name
        for command in commands
        for name in _FILLED_IN.findall(command)
        if not name.endswith(":q")
    ]


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.name)
def test_commands_are_not_built_from_names(path: Path) -> None:
    text = path.read_text()
    assert unquoted(text) == []
    assert not re.search(r"\b(eval|exec|shell|run)\s*\(", text)


def test_an_unquoted_name_is_found() -> None:
    rule = 'rule a:\n    shell:\n        "cat {input:q} "\n        "> {wildcards.scene}"\n'
    assert unquoted(rule) == ["wildcards.scene"]
