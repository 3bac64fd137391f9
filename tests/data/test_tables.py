"""Features as tables of pandas."""

import sys

import numpy as np
import pytest
from ase.build import bulk, molecule
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import StandardScaler

import skpot
from skpot.exceptions import InputError, MissingDependencyError

X = [molecule("H2O"), bulk("Si")]
SOAP = skpot.SOAP(cutoff=3.0, n_max=2, l_max=1)


def test_rows_are_atoms_of_structures():
    features = make_union(SOAP, skpot.ZBL(outer=2.0)).fit_transform(X)
    table = features.to_pandas()
    assert table.index.names == ["structure", "atom", "species"]
    atoms = [(0, 0, "O"), (0, 1, "H"), (0, 2, "H"), (1, 0, "Si"), (1, 1, "Si")]
    assert list(table.index) == atoms
    n = features.shape[1] - 1
    assert list(table.columns) == [f"soap{k}" for k in range(n)] + ["zbl0"]
    np.testing.assert_array_equal(table.to_numpy(), features.values)
    np.testing.assert_array_equal(table.loc[1].to_numpy(), features[1].values)
    table.iloc[0, 0] = 7.0
    assert features.values[0, 0] != 7.0  # the table is a copy


def test_names_of_features():
    table = SOAP.fit_transform(X).to_pandas(SOAP.get_feature_names_out())
    assert table.columns[0] == "H0 H0 l0"
    with pytest.raises(InputError, match=r"columns has shape \(2,\), but there are"):
        SOAP.transform(X).to_pandas(["a", "b"])


def test_rows_of_whole_structures():
    features = make_pipeline(SOAP, skpot.PerStructure()).fit_transform(X)
    table = features.to_pandas()
    assert table.index.name == "structure" and list(table.index) == [0, 1]


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_ordinary_transformers_of_whole_structures_return_tables(kind):
    module = pytest.importorskip(kind)
    model = make_pipeline(SOAP, skpot.PerStructure(), StandardScaler())
    with pytest.warns(skpot.exceptions.SkpotWarning):
        model.set_output(transform=kind)
    table = model.fit_transform(X)
    assert isinstance(table, module.DataFrame) and table.shape[0] == 2
    assert model.get_feature_names_out()[0] == "H0 H0 l0"


def test_without_pandas(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingDependencyError, match="tables need pandas: python -m pip install"):
        SOAP.fit_transform(X).to_pandas()
