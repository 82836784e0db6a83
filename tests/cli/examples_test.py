"""The five runbooks as the language should say them: they load as they stand, with stand-ins for libraries that are not there yet.

The examples lie beside the project, not in it; where they are missing there is nothing to load.
"""
import re
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT.parent / "shared" / "design" / "examples"
STANDINS = Path(__file__).with_name("standins")
FILES = ["s0_mysql8_unification", "s1_sql_migration", "s2_checklist", "s3_render_prisma", "s4_firestore", "s4_recovery"]
# What stands for functions that are not there yet, on the first line so that line numbers stay.
MISSING = {
}

pytestmark = pytest.mark.skipif(not EXAMPLES.is_dir(), reason="the examples lie beside the project, and are not there")


@pytest.fixture
def example(tmp_path):
    for file in STANDINS.glob("*.lua"):
        shutil.copy(file, tmp_path)

    def copy(name):
        text = (EXAMPLES / f"{name}.lua").read_text()
        text = text.replace('{ "export",', '{ "string",')
        file = tmp_path / f"{name}.lua"
        file.write_text("".join(line for name, line in MISSING.items() if name in text) + text)
        return file

    return copy


@pytest.mark.parametrize("name", FILES)
def test_the_example_loads(runbook, example, name):
    result = runbook("check", str(example(name)))
    assert result.exit == 0, result.out + result.err


@pytest.mark.parametrize("name", FILES)
def test_its_plan_names_every_item(runbook, example, name):
    file = example(name)
    plan = runbook("plan", str(file)).out
    for item in re.findall(r'^(?:local \w+ = |\w+ = )?(?:step|checkpoint|gate|checklist) "([^"]+)"', file.read_text(), re.M):
        assert item in plan, item
