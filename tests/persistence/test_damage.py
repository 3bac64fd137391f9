"""A damaged or edited file causes an error of skpot or predicts as before, and never a crash."""

import io
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest

import skpot
from skpot.exceptions import ModelFileError
from skpot.persistence._archive import SCHEMA, SEAL
from tests.persistence import damage

# Number of edits for each kind of model; with 50 there are 300 in total.
TRIALS = int(os.environ.get("SKPOT_DAMAGE_TRIALS", "10"))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return damage.write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module", params=damage.MODELS)
def file(request, files):
    return files[request.param]


def predicts_the_same_or_is_refused(path, expected):
    """Return whether the file is refused."""
    try:
        model = skpot.load(path)
    except ModelFileError as error:
        assert str(path) in str(error)
        return True
    np.testing.assert_array_equal(damage.numbers_of(model), expected)
    return False


def test_archives_written_anew_are_the_same_model(file, tmp_path):
    expected = damage.numbers_of(skpot.load(file))
    damage.write(tmp_path / "again.skops", damage.members(file))
    assert not predicts_the_same_or_is_refused(tmp_path / "again.skops", expected)


def test_edits_of_intact_archives_are_refused(file, tmp_path):
    rng = np.random.default_rng(0)
    content, path = damage.members(file), tmp_path / "edited.skops"
    expected = damage.numbers_of(skpot.load(file))
    for _ in range(TRIALS):
        changed, told = damage.edited(content, rng)
        damage.write(path, changed)
        assert predicts_the_same_or_is_refused(path, expected) or changed == content, told


def test_bit_flips(file, tmp_path):
    rng = np.random.default_rng(1)
    data, path = file.read_bytes(), tmp_path / "flipped.skops"
    expected = damage.numbers_of(skpot.load(file))
    # Half of the edits are in the directory of the archive; the rest of it is mostly numbers.
    directory = data.index(b"PK\x01\x02")
    for k in range(TRIALS):
        flipped = bytearray(data)
        flipped[rng.integers(directory if k % 2 else 0, len(data))] ^= 1 << rng.integers(8)
        path.write_bytes(flipped)
        predicts_the_same_or_is_refused(path, expected)


@pytest.mark.parametrize("kept", [0, 1, 30, 0.3, 0.6, 0.9, 0.999])
def test_truncated_files(files, tmp_path, kept):
    data, path = files["sparse"].read_bytes(), tmp_path / "short.skops"
    path.write_bytes(data[: int(kept * len(data)) if isinstance(kept, float) else kept])
    with pytest.raises(ModelFileError, match="short.skops is damaged"):
        skpot.load(path)


@pytest.mark.parametrize(
    "seal",
    [b"", b"[]", b"{", b'{"format": 3}', b'{"format": null}', b" " * 5000, b"\xff", b"[" * 4000],
)
def test_damaged_seals(files, tmp_path, seal):
    content = damage.members(files["sparse"]) | {SEAL: seal}
    damage.write(tmp_path / "model.skops", content)
    with pytest.raises(ModelFileError, match="model.skops"):
        skpot.load(tmp_path / "model.skops")


def test_two_members_of_one_name(files, tmp_path):
    path = tmp_path / "double.skops"
    path.write_bytes(files["sparse"].read_bytes())
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(SCHEMA, b"{}")
    with pytest.raises(ModelFileError, match="two of its members have one name"):
        skpot.load(path)


def test_folders_are_no_files(tmp_path):
    with pytest.raises(ModelFileError, match="cannot be read: Is a directory"):
        skpot.load(tmp_path)


def test_missing_files_are_both_errors(tmp_path):
    for kind in (FileNotFoundError, ModelFileError, ValueError):
        with pytest.raises(kind, match="No such file or directory: .*nothing"):
            skpot.load(tmp_path / "nothing")


def zip_bomb(path, content):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
        with archive.open("bomb.npy", "w", force_zip64=True) as file:
            for _ in range(100):
                file.write(bytes(1 << 20))


def array_bomb(path, content):
    """An array whose header declares 80 GB."""
    name = next(name for name in content if name.endswith(".npy"))
    header = io.BytesIO()
    fields = {"descr": "<f8", "fortran_order": False, "shape": (10**10,)}
    np.lib.format.write_array_header_1_0(header, fields)
    damage.write(path, content | {name: header.getvalue()}, sealed=True)


def packed_bomb(path, content):
    """A sparse matrix that unpacks to 100 MB."""
    file = io.BytesIO()
    np.savez_compressed(file, data=np.zeros(100 * (1 << 17)))
    damage.write(path, content | {"bomb.npz": file.getvalue()}, sealed=True)


def deep_bomb(path, content):
    text = b'{"content":' * 200_000 + b"1" + b"}" * 200_000
    damage.write(path, content | {SCHEMA: text}, sealed=True)


def deep_value(path, content):
    def change(schema):
        schema["content"]["model"] = {
            "__class__": "str", "__module__": "builtins", "__loader__": "JsonNode",
            "content": "[" * 100_000,
        }  # fmt: skip

    damage.write(path, damage.edited_schema(content, change), sealed=True)


def seal_bomb(path, content):
    damage.write(path, content | {SEAL: b"[" * 90_000_000})


def list_bomb(path, content):
    """So many empty members that their list alone takes much memory."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x" * 60, b"")
    data = path.read_bytes()
    begin = data.index(b"PK\x01\x02")
    entry, end = data[begin:-22], data[-22:]
    size = (len(entry) * 150_000).to_bytes(4, "little")
    path.write_bytes(data[:begin] + entry * 150_000 + end[:12] + size + end[16:])


BOMBS = [list_bomb, zip_bomb, array_bomb, packed_bomb, deep_bomb, deep_value, seal_bomb]

MEASURE = """
import resource, sys
import skpot
skpot.load(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[2:]:
    try:
        skpot.load(path)
    except skpot.exceptions.ModelFileError as error:
        assert path in str(error), error
    else:
        sys.exit(path)
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def test_bombs_are_refused_before_they_take_memory(files, tmp_path):
    paths = [tmp_path / f"{bomb.__name__}.skops" for bomb in BOMBS]
    for bomb, path in zip(BOMBS, paths, strict=True):
        bomb(path, damage.members(files["sparse"]))
    command = [sys.executable, "-c", MEASURE, files["sparse"], *paths]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    megabytes = [float(line) for line in result.stdout.split()]
    assert len(megabytes) == len(BOMBS) and max(megabytes) < 60.0, megabytes
