"""docs/settings.md has every environment variable that the code reads, with its default."""

import ast
import re

from .postgres import PROJECT

DOCUMENT = (PROJECT / "docs" / "settings.md").read_text()
ROWS = dict(re.findall(r"(?m)^\| `([A-Z_]+)` \| (.+?) \| .+ \|$", DOCUMENT))
COMPUTED = object()


def variables(path):
    """Name → default of each variable that a module reads: None where it has to be given."""
    found = {}
    for node in ast.walk(ast.parse((PROJECT / path).read_text())):
        if not isinstance(node, ast.Call) or not node.args or not isinstance(node.args[0], ast.Constant):
            continue
        if not re.match(r"env(\.\w+)?$|os\.environ\.get$", ast.unparse(node.func)):
            continue
        given = [one.value for one in node.keywords if one.arg == "default"]
        default = None
        if given:
            try:
                default = ast.literal_eval(given[0])
            except ValueError:
                default = COMPUTED
        name = node.args[0].value
        if found.get(name) is None:
            found[name] = default
    return found


def as_written(default):
    match default:
        case bool():
            return "on" if default else "off"
        case "" | []:
            return "none"
        case _:
            return f"`{default}`"


def test_every_variable_of_the_settings_is_documented_with_its_default():
    read = variables("config/settings.py")
    assert len(read) > 25
    for name, default in read.items():
        assert name in ROWS, f"docs/settings.md doesn't have {name}"
        if default is None:
            assert ROWS[name] == "required"
        elif default is not COMPUTED:
            assert ROWS[name] == as_written(default), name


def test_nothing_is_documented_that_is_not_read():
    read = variables("config/settings.py") | variables("config/services.py") | variables("config/supervisor.py")
    assert ROWS.keys() == read.keys() - {"PATH"}


def test_what_deploy_sets_is_documented():
    files = ["turnout.env.example", "compose.env.example", "Containerfile"]
    text = "\n".join((PROJECT / "deploy" / name).read_text() for name in files)
    named = set(re.findall(r"(?m)^#?([A-Z][A-Z_]+)=", text)) | set(re.findall(r"\b(\w+_ROOT|DATA_DIR)=", text))
    assert named - {"SUPERUSER_PASSWORD", "OWNER_PASSWORD", "APP_PASSWORD"} <= ROWS.keys()
