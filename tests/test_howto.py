"""What the how-to shows runs, and gives the right numbers."""

import pytest

from tests.pages import fences, run_in_new_process
from tests.project import ROOT

PAGE = ROOT / "docs" / "howto.md"

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
    # So short a run says no more than the order of magnitude, and not even the sign.
    "Thermal conductivity: Green-Kubo": lambda found: (
        found["flux"].shape == (100, 3)
        and (found["flux"].std(axis=0) > 1e-5).all()
        and abs(found["conductivity"]) < 100.0
    ),
}


def sections():
    """Return the title of the section of each block of Python but the first."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    places = [line for line, language, _ in fences(PAGE) if language == "python"]
    heads = [[text for text in lines[:place] if text.startswith("## ")] for place in places[1:]]
    return [above[-1].removeprefix("## ") for above in heads]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Return the numbers of each section, which sees only what the first block has set."""
    numbers, _ = run_in_new_process(PAGE, tmp_path_factory.mktemp("howto"), begins_anew=True)
    return dict(zip(sections(), numbers[1:], strict=True))


def test_all_sections_are_checked():
    assert sections() == list(CHECKS)


@pytest.mark.slow
@pytest.mark.parametrize("section", CHECKS)
def test_the_code_runs_and_gives_the_right_numbers(found, section):
    numbers = found[section]
    if numbers is None:
        pytest.skip("a package is not installed")
    assert CHECKS[section](numbers), numbers
