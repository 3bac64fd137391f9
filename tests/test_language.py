"""The words of the code: American spelling, and one word for one thing as CONTRIBUTING.md says."""

import ast
import io
import re
import tokenize

import pytest

from tests.project import ROOT, python_files, where

FOLDERS = ("skpot", "tests", "benchmarks")
FILES = [path for folder in FOLDERS for path in python_files(ROOT / folder)]

# Spelling of identifiers; codespell looks at whole words of the text, not at parts of names.
_STEMS = (
    "canonical character custom diagonal discre[t] equal factor final general global initial local "
    "marginal maxim minim modern normal optim orthogonal orthonormal parallel parame[t]r penal "
    "polar quant random rational real recogn regular serial special stabil standard summa[r] "
    "symmetr synchron token util vector visual"
).split()
BRITISH = re.compile(
    r"centr(e[sd]?|ing)(?![a-z])|learnt|spelt|gr[e]y|arte[f]act|judgem[e]nt|fulf[i]l(?!l)"
    r"|(behavi|col|fav|flav|hon|lab|neighb|vap)our|(lic|def)ence|(catal|anal)ogue"
    r"|(channel|label|level|model|signal|total|travel|tunnel)l(ed|ing)|analys(e|ing)(?![a-z])"
    rf"|({'|'.join(_STEMS)})is(e|ed|er|es|ing|ation)(?![a-z])",
    re.IGNORECASE,
)

# What the glossary of CONTRIBUTING.md has another word for: pattern -> the word to use.
REPLACED = {
    r"inducing": "reference",
    r"(sparse|support|training) points?": "reference",
    r"chunk(s|ed|ing)?": "block",
    r"mini-?batch(es)?": "block",
    r"central atoms?": "center",
    r"cut-off( radius)?|cutoff radius": "cutoff",
    r"fingerprints?|(feature|descriptor) vectors?": "feature",
    r"error bars?": "deviation",
    r"data ?points?": "label",
    r"back-?prop(agation|agate)?|backward pass": "pull-back",
    r"forward pass": "push-forward",
    r"lists? of (ase\.)?atoms": "list[Atoms]",
    r"hyper-parameters?": "hyperparameter",
}
_REPLACED = {
    re.compile(rf"(?<![a-z]){pattern}(?![a-z])", re.IGNORECASE): word
    for pattern, word in REPLACED.items()
}


def identifiers(module):
    """Yield (node, name) of what a module gives a name to."""
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node, node.name
        elif isinstance(node, ast.arg):
            yield node, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node, node.attr


def words(name):
    """Return a name as text: "firstChunk_ofRows" as "first Chunk of Rows"."""
    return re.sub(r"_+|(?<=[a-z])(?=[A-Z])", " ", name)


def prose(source):
    """Yield (line, text) of all comments and docstrings."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if text := ast.get_docstring(node):
                yield node.body[0].lineno, text
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def british(source):
    """Return (line, name) of identifiers with British spelling."""
    found = identifiers(ast.parse(source))
    return sorted({(node.lineno, name) for node, name in found if BRITISH.search(words(name))})


def replaced(source):
    """Return (line, what is wrong) of words that the glossary has others for."""
    texts = [(node.lineno, words(name)) for node, name in identifiers(ast.parse(source))]
    texts += prose(source)
    return sorted(
        {
            (line, f"{match[0]!r}: use {word!r}")
            for line, text in texts
            for pattern, word in _REPLACED.items()
            if (match := pattern.search(text.replace("\n", " ")))
        }
    )


def offenders(check, skipped=()):
    return [
        f"{where(path)}:{line} {text}"
        for path in FILES
        if path.name not in skipped
        for line, text in check(path.read_text(encoding="utf-8"))
    ]


def test_identifiers_are_spelled_as_in_scikit_learn():
    assert not offenders(british)


def test_one_word_for_one_thing():
    assert not offenders(replaced, skipped={"test_language.py"})


def test_the_words_to_use_are_in_the_glossary():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    glossary = set(re.findall(r"^\| ([^|]+?) \|", text.partition("## Words")[2], flags=re.M))
    spelling = {"list[Atoms]", "hyperparameter"}
    assert set(REPLACED.values()) - spelling <= glossary


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("n_neighbours = 3", "n_neighbours"),
        ("def normalise_rows(): pass", "normalise_rows"),
        ("class ColourMap: pass", "ColourMap"),
        ("def f(centre_of_mass): pass", "centre_of_mass"),
        ("for unlabelled in []: pass", "unlabelled"),
        ("self.minimisation_ = 1", "minimisation_"),
        ("def f(*, learnt=1): pass", "learnt"),
        ("with open('a') as grey: pass", "grey"),  # codespell:ignore
    ],
)
def test_british_identifiers_are_found(source, name):
    assert british(source) == [(1, name)]


@pytest.mark.parametrize(
    "name", ["center", "precise", "exercise", "analysis", "basis", "parameter"]
)
def test_other_identifiers_are_not(name):
    assert british(f"{name} = {name}_of_it = 1") == []


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("x = 1\nn_chunks = 2", 2),
        ("x = 1  # by chunks", 1),
        ('"""Words.\n\nThe inducing\npoints.\n"""', 1),
        ('def f():\n    """X : list of ase.Atoms"""', 2),
        ("class CentralAtom: pass", 1),
    ],
)
def test_replaced_words_are_found(source, line):
    assert [found for found, _ in replaced(source)] == [line]


def test_strings_and_similar_words_are_not():
    assert replaced('read(chunk_size="chunk")  # a chunky library') == []
