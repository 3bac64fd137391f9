"""Model files and how they get damaged, for the tests."""

import io
import json
import re
import zipfile
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skpot
from skpot.exceptions import SkpotError
from skpot.kernels import RBF
from skpot.persistence import FORMAT
from skpot.persistence._archive import SCHEMA, SEAL, seal
from tests.toy import clusters, morse

NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")


def soap():
    return skpot.SOAP(cutoff=3.0, n_max=2, l_max=1)


MODELS = {
    "sparse": make_pipeline(soap(), skpot.SparseGPR(n_sparse=10)),
    "exact": make_pipeline(soap(), skpot.GPR()),
    "splines": make_pipeline(skpot.TripletBasis(cutoff=3.0, n_splines=4), skpot.LinearRidge()),
    "mapped": make_pipeline(
        skpot.SymmetryFunctions(cutoff=3.0, n_radial=3, n_angular=1),
        skpot.PerAtom(make_pipeline(StandardScaler(), PCA(3))),
        skpot.SparseGPR(RBF(), n_sparse=10),
    ),
    "search": GridSearchCV(
        make_pipeline(skpot.PairBasis(cutoff=3.0, n_splines=6), skpot.LinearRidge()),
        {"linearridge__alpha": [1e-3, 1e-2]},
        cv=2,
    ),
    "committee": make_pipeline(
        skpot.SOAP(3.0, 2, 1, body_order=4, n_channels=2),
        skpot.PrincipalComponents(3),
        skpot.Committee(skpot.SparseGPR(n_sparse=10), n_members=2),
    ),
}

STRUCTURES = clusters(6)


def write_models(folder):
    """Write a file of each kind of model; return their paths by name."""
    y = morse(STRUCTURES)
    for name, model in MODELS.items():
        skpot.dump(model.fit(STRUCTURES, y), folder / f"{name}.skops")
    return {name: folder / f"{name}.skops" for name in MODELS}


def numbers_of(model):
    """Return all that a model predicts, as one array."""
    y = model.predict(STRUCTURES)
    return np.concatenate([y.energy, y.forces_flat.ravel()])


def members(path):
    """Return the content of an archive by the names of its members."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path, content, sealed=False):
    """Write an intact archive; with `sealed` it gets a new checksum."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in content.items():
            if not sealed or name != SEAL:
                archive.writestr(name, data)
    if sealed:
        seal(buffer, FORMAT, skpot.__version__)
    path.write_bytes(buffer.getvalue())


def edited(content, rng):
    """Return the members of an archive after a random change, and what was changed."""
    kinds = [edit_integer, edit_number, edit_array, edit_array, drop_member, swap_members]
    content = dict(content)
    told = kinds[rng.integers(len(kinds))](content, rng)
    return content, told


def edit_integer(content, rng):
    """Change an integer of the schema, such as `n_max` or one in a shape."""
    return _edit_schema(
        content, rng, rb'"content": "(-?\d+)"', ["0", "-1", "7", "40", "2000000000"]
    )


def edit_number(content, rng):
    """Change any number of the schema."""
    values = ["0", "-1", "3", "0.5", "1e300", "-2.5", "NaN", "99999999999999999999", "true"]
    return _edit_schema(content, rng, rb"(?<![\w.])" + NUMBER.pattern, values)


def _edit_schema(content, rng, pattern, values):
    text = content[SCHEMA]
    found = list(re.finditer(pattern, text))
    where = found[rng.integers(len(found))]
    lo, hi = where.span(where.lastindex or 0)
    value = values[rng.integers(len(values))].encode()
    content[SCHEMA] = text[:lo] + value + text[hi:]
    return f"{text[max(0, lo - 200) : hi].decode()} -> {value.decode()}"


def edit_array(content, rng):
    """Change an element of an array, its size or its type."""
    names = [name for name in content if name.endswith(".npy")]
    name = names[rng.integers(len(names))]
    array = np.load(io.BytesIO(content[name]))
    change = rng.integers(8)
    if change <= 3 and array.size and array.dtype.kind in "iuf":
        array = array.copy()
        values = [-1, 0, 5, 10**6] if array.dtype.kind in "iu" else [np.nan, np.inf, 0.0, 1e300]
        array.flat[rng.integers(array.size)] = np.array(values[change]).astype(array.dtype)
    elif change == 4:
        array = array[: len(array) // 2] if array.ndim else array[None]
    elif change == 5:
        array = np.concatenate([array.ravel(), array.ravel()])
    elif change == 6:
        array = array.astype(np.float32 if array.dtype.kind == "f" else np.float64)
    else:
        array = array.T[..., None]
    file = io.BytesIO()
    np.save(file, array)
    content[name] = file.getvalue()
    return f"{name}: change {change}, now {array.dtype} {array.shape}"


def drop_member(content, rng):
    """Leave out an array."""
    names = [name for name in content if name.endswith(".npy")]
    name = names[rng.integers(len(names))]
    del content[name]
    return f"without {name}"


def swap_members(content, rng):
    """Exchange two arrays."""
    names = [name for name in content if name.endswith(".npy")]
    a, b = rng.choice(names, 2, replace=False)
    content[a], content[b] = content[b], content[a]
    return f"{a} and {b} exchanged"


def edited_schema(content, change):
    """Return the members with `change` applied to the schema as Python objects."""
    schema = json.loads(content[SCHEMA])
    change(schema)
    return content | {SCHEMA: json.dumps(schema).encode()}


def survive(paths, trials, seed):
    """Load and use edited files with a valid seal; print each result before the next may crash."""
    rng = np.random.default_rng(seed)
    for path in map(Path, paths):
        content = members(path)
        expected = numbers_of(skpot.load(path))
        for _ in range(trials):
            changed, told = edited(content, rng)
            print(f"{path.stem}: {told!r}", end=" ", flush=True)
            write(path.with_suffix(".edited"), changed, sealed=True)
            print(_fate(path.with_suffix(".edited"), expected), flush=True)


def _fate(path, expected):
    try:
        model = skpot.load(path)
    except SkpotError:
        return "REFUSED"
    try:
        found = numbers_of(model)
        last = getattr(model, "steps", [[None]])[-1][-1]
        if hasattr(last, "predict_std"):
            last.predict_std(model[:-1].transform(STRUCTURES))
    except Exception as error:
        return f"RAISED {type(error).__name__} {error}"
    if found.shape == expected.shape and np.allclose(found, expected, rtol=1e-9, atol=0.0):
        return "SAME"
    return "NAN" if not np.isfinite(found).all() else "OTHER"
