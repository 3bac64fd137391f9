"""What a file says about its model."""

import json
import zipfile

import pytest
from sklearn.linear_model import Ridge

import skpot
from skpot.persistence import read_card

CARD = {"preset": "fast", "e0": {"Si": -5.25}, "files": ["a.xyz", "b.xyz"], "frames": 168}


def test_cards_come_back(tmp_path):
    path = tmp_path / "model.skpot"
    skpot.dump(Ridge(alpha=2.0), path, card=CARD)
    assert read_card(path) == CARD
    assert skpot.load(path).alpha == 2.0
    with zipfile.ZipFile(path) as archive:  # no skpot is needed to read it
        assert json.loads(archive.read("card.json")) == CARD


def test_files_without_a_card(tmp_path):
    path = tmp_path / "model.skpot"
    skpot.dump(Ridge(), path)
    assert read_card(path) == {}


@pytest.mark.parametrize("card", [{"a": {1, 2}}, {"a": float("nan")}, {"a": Ridge()}])
def test_cards_are_plain_data(tmp_path, card):
    with pytest.raises(TypeError, match="JSON"):
        skpot.dump(Ridge(), tmp_path / "model.skpot", card=card)
    assert not list(tmp_path.iterdir())


def test_cards_are_small(tmp_path):
    with pytest.raises(ValueError, match="may take 1048576"):
        skpot.dump(Ridge(), tmp_path / "model.skpot", card={"a": "x" * (1 << 20)})


def test_cards_that_were_changed_are_refused(tmp_path):
    path = tmp_path / "model.skpot"
    skpot.dump(Ridge(), path, card=CARD)
    content = path.read_bytes()
    assert content.count(b'"frames": 168') == 1
    path.write_bytes(content.replace(b'"frames": 168', b'"frames": 999'))
    for read in (read_card, skpot.load):
        with pytest.raises(skpot.exceptions.ModelFileError):
            read(path)
