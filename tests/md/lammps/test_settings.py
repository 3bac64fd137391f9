"""Settings of LAMMPS that change pairs, atoms or steps give right results or are refused."""

import functools
import importlib.util
import json
import re

import numpy as np
import pytest

from tests.md.lammps.test_attach import run_engine

if importlib.util.find_spec("mpi4py") is None:
    pytest.skip("no mpi4py", allow_module_level=True)

RIGHT = {
    "plugin": ["plain", "first", "multi", "tiled", "empty group", "box", "slab", "wrapped slab",
               "molecules", "swap", "widom", "gcmc", "evaporate", "respa"],
}  # fmt: skip
RIGHT["attach"] = RIGHT["plugin"][:-1]
LOST = "neighbor list has .* pairs closer .* neigh_modify exclude"
REFUSED = {
    "plugin": {
        "type": "neigh_modify exclude type 1 2 takes some away",
        "group": "neigh_modify exclude group ones ones takes",
        "group all": "neigh_modify exclude group ones all takes",
        "molecule": "neigh_modify exclude molecule all takes",
        "include": "neigh_modify include ones takes",
        "later": "neigh_modify exclude type 1 2 takes",
        "pair meets": "two atoms meet, (65 and 66|66 and 65) are 0.05 Angstrom apart",
    },
    "attach": dict.fromkeys(["type", "group", "group all", "molecule", "include", "later"], LOST)
    | {"pair meets": "two atoms meet: 65 and 66 are 0.05 Å apart", "respa": "use run_style verlet"},
}


@pytest.fixture(scope="module")
def results(plugins, library, tmp_path_factory):
    """Results of settings.py on this number of ranks."""
    folder = tmp_path_factory.mktemp("settings")

    @functools.cache
    def get(n_ranks):
        output = folder / f"{n_ranks}.json"
        arguments = plugins / "skpotplugin.so", library.path, output
        run_engine(n_ranks, "settings.py", *arguments)
        return json.loads(output.read_text())

    return get


@pytest.fixture
def found(results):
    return results(1)


@pytest.mark.parametrize(("driver", "case"), [(d, case) for d in RIGHT for case in RIGHT[d]])
def test_what_is_taken_gives_what_the_potential_does(found, driver, case):
    """Energy (eV), forces (eV/Å) and virial (eV) after runs, some with Monte Carlo moves."""
    difference = found[driver]["cases"][case]
    assert isinstance(difference, float), difference
    assert difference < 1e-9


@pytest.mark.parametrize(("driver", "case"), [(d, case) for d in REFUSED for case in REFUSED[d]])
def test_what_takes_pairs_away_is_refused_by_name(found, driver, case):
    message = str(found[driver]["cases"][case])
    assert re.search(REFUSED[driver][case], " ".join(message.split())), message


@pytest.mark.parametrize("driver", ["plugin", "attach"])
def test_two_ranks_agree(results, driver):
    for case, outcome in results(2)[driver]["cases"].items():
        if case in RIGHT[driver]:
            assert isinstance(outcome, float) and outcome < 1e-9, (case, outcome)
        else:
            assert re.search("neigh_modify exclude", str(outcome)), (case, outcome)


@pytest.mark.parametrize("driver", ["plugin", "attach"])
def test_a_gas_does_not_depend_on_the_energy_of_free_atoms(found, driver):
    one, other = found[driver]["gas"]
    assert one == other == found["plugin"]["gas"][0]
    assert abs(np.mean(one) - 20.0) < 4.0


@pytest.mark.parametrize("move", ["swap", "gcmc"])
def test_plugin_and_attach_accept_the_same_moves(found, move):
    one, other = (np.array(found[driver]["moves"][move]) for driver in ("plugin", "attach"))
    np.testing.assert_allclose(one, other, rtol=1e-9)
    assert len(set(one[:, 1])) > 3


@pytest.mark.parametrize("driver", ["plugin", "attach"])
def test_a_position_that_is_not_a_number_ends_the_run(found, driver):
    assert re.search("atom 5 has a position that is not finite", found[driver]["lost"])


def test_what_concerns_other_styles_alone_may_be_excluded(found):
    assert found["another style"] < 1e-10


def test_libraries_that_are_damaged_are_refused(found):
    for message in found["damaged"]:
        assert re.search("damaged.* cannot be used: .*export the model again", message), message
