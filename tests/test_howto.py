"""What the how-to shows runs, and gives the right numbers."""

import importlib.util
import re

import pytest

from tests.project import ROOT

SECTIONS = re.split(r"^## ", (ROOT / "docs" / "howto.md").read_text(encoding="utf-8"), flags=re.M)
CODE = {
    section.splitlines()[0]: re.findall(r"^```python\n(.*?)^```$", section, re.M | re.S)
    for section in SECTIONS
}
FIRST, *OTHERS = CODE

# Bounds are those of PBE (lattice constant 5.47 Å, bulk modulus 89 GPa, C11 153 GPa, optical phonon
# 15.1 THz) with room for a quick model. Barriers, diffusion and heat must only have the right size.
CHECKS = {
    "Relaxation": lambda found: abs(found["lattice_constant"] - 5.47) < 0.02,
    "Equation of state: ASE": lambda found: (
        abs(4 * found["volume"] - 5.47**3) < 2.0 and 80.0 < found["bulk_modulus"] < 98.0
    ),
    "Elastic constants: matcalc": lambda found: 130.0 < found["tensor"][0, 0] < 175.0,
    "Phonons: phonopy": lambda found: (
        abs(found["frequencies"][:3]).max() < 0.1 and abs(found["frequencies"][3:] - 15.1).max() < 1
    ),
    "Barriers: nudged elastic bands in ASE": lambda found: (
        0.0 < found["barrier"] < 1.0
        and abs(found["path"][0] - found["path"][-1]) < 0.05
        and len(found["grades"]) == 7
    ),
    "Diffusion: molecular dynamics in ASE": lambda found: 0.0 < found["coefficient"] < 1e-2,
    "Thermal conductivity: Green-Kubo": lambda found: 0.1 < found["conductivity"] < 100.0,
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Run the first block, which all others build on."""
    folder = tmp_path_factory.mktemp("howto")
    namespace = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        exec(compile(CODE[FIRST][0], "howto.md", "exec"), namespace)
    return namespace


def test_all_sections_are_checked():
    assert set(OTHERS) == set(CHECKS) and all(len(blocks) == 1 for blocks in CODE.values())


@pytest.mark.parametrize("section", OTHERS)
def test_the_code_runs(prepared, section):
    (code,) = CODE[section]
    for package in re.findall(r"^(?:import|from) (\w+)", code, re.M):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    found = dict(prepared)
    exec(compile(code, "howto.md", "exec"), found)
    assert CHECKS[section](found), {name: v for name, v in found.items() if f"{name} =" in code}
