"""The pages say what the code does: no setting, dependency, fact, table or metric is missing from them."""

import json
import re
import tomllib
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

import pytest
from pydantic import BaseModel

from broker.gateway.faults.catalogue import CATALOGUE
from broker.gateway.faults.fault import read
from daemon.cli import main
from daemon.metrics import Metrics
from daemon.settings import Settings, load_settings
from ops.docs import WHOLE, refreshed

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
NAMED = [path.relative_to(ROOT).as_posix() for path in PAGES]


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def settings(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Every key with its default, nested ones with a dot."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from settings(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name, field.default


def as_toml(value: object) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return f"`{str(value).lower()}`"
        case StrEnum() | str() | Path():
            return f'`"{value!s}"`'
        case _:
            return f"`{value}`"


def test_every_setting_is_described_with_its_default() -> None:
    rows = {(cells[1], cells[2]) for line in page("docs/settings.md").splitlines() if (cells := cut(line))}
    expected = {(f"`{key}`", as_toml(default)) for key, default in settings(Settings)}
    assert rows - {("key", "default"), ("---", "---")} == expected


def cut(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("|")] if line.startswith("|") else []


def test_the_settings_that_are_shown_are_taken_as_they_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = page("docs/settings.md")
    file, secret = (
        re.search(r"```toml\n(.*?)```", shown, re.DOTALL),
        re.search(r"`secrets/(\w+)` with `(.*?)`", shown),
    )
    variable = re.search(r"`(OPTIOND_\w+)=(\w+)`", shown)
    assert file and secret and variable
    (tmp_path / "optiond.toml").write_text(file[1])
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / secret[1]).write_text(secret[2])
    monkeypatch.setenv(variable[1], "4011")

    settings = load_settings(tmp_path)

    assert settings.broker.account == "DU1234567", "from the file"
    assert settings.trading.live_account == "U1234567", "from the secrets folder"
    assert settings.broker.port == 4011, "from the environment, which goes first"


def test_every_direct_dependency_has_its_line() -> None:
    project = tomllib.loads(page("pyproject.toml"))["project"]
    wanted = {
        re.split(r"[<>=!~\[ ]", requirement)[0]
        for requirement in (*project["dependencies"], *project["optional-dependencies"]["dev"])
    }
    wanted |= set(re.findall(r"^([\w.-]+)==", page("requirements-clients.txt"), re.MULTILINE))
    lines = re.findall(r"^- `([\w.-]+)`: ", page("docs/DEPENDENCIES.md"), re.MULTILINE)
    assert sorted(lines) == sorted(wanted)


def test_every_metric_is_described() -> None:
    names = {metric.name for metric in Metrics().registry.collect()}
    described = {
        name.removesuffix("_total") for name in re.findall(r"optiond_\w+", page("docs/operations.md"))
    }
    assert names <= described


@pytest.mark.parametrize("name", [name for name in NAMED if name.startswith("docs/")])
def test_generated_tables_are_up_to_date(name: str) -> None:
    assert refreshed(page(name)) == page(name), "run: python -m ops.docs"


@pytest.mark.parametrize("name", WHOLE)
def test_generated_files_are_up_to_date(name: str) -> None:
    assert page(f"docs/{name}") == WHOLE[name](), "run: python -m ops.docs"


def test_every_example_of_a_fault_may_be_given() -> None:
    examples = [json.loads(text) for text in re.findall(r"```json\n(.*?)\n```", page("docs/faults.md"))]
    assert [example["name"] for example in examples] == list(CATALOGUE)
    for example in examples:
        given = {name: value for name, value in example.items() if name not in ("cmd", "name")}
        read(CATALOGUE[example["name"]], given)


@pytest.mark.parametrize("name", NAMED)
def test_links_lead_somewhere(name: str) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page(name)):
        assert ((ROOT / name).parent / target).exists(), target


@pytest.mark.parametrize("name", NAMED)
def test_files_and_functions_that_are_named_exist(name: str) -> None:
    """`Thing.function`, or `CONSTANT`, in `room/file.py`."""
    for thing, path in re.findall(r"`([\w.]+)` in `([\w/]+\.py)`", page(name)):
        code, last = page(path), thing.split(".")[-1]
        assert re.search(rf"\b(def|class) {last}\b|^{last}\b(: [^=]+)? = ", code, re.M), f"{thing} in {path}"
    for path in re.findall(r"`((?:\w+/)+\w+\.(?:py|yaml|service))`", page(name)):
        assert (ROOT / path).is_file(), path


@pytest.mark.parametrize("name", NAMED)
def test_commands_that_are_shown_exist(name: str) -> None:
    """Every `$ optiond ...` with its sub-command and options."""
    for line in re.findall(r"^\$ (?:sudo )?(?:\.venv/bin/)?optiond (.+)$", page(name), re.MULTILINE):
        words = line.split("#")[0].split()
        command = words[:2] if words[0] in ("rules", "lake") else words[:1]
        with pytest.raises(SystemExit) as left:
            main([*command, "--help"])
        assert left.value.code == 0, line
