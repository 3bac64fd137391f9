"""`skpot info`."""

import json
from typing import Annotated

from typer import Option

from ._console import answer, command, say, title
from ._options import ModelFile


@command
def info(
    model: ModelFile,
    as_json: Annotated[
        bool, Option("--json", help="Print the card as JSON, for other programs.")
    ] = False,
) -> None:
    """Print what a model file says about its model.

    The card of a model that skpot fit has written tells the data and their hash, the labels that
    were used and those that were not, settings, what the fit chose, errors, units and versions. Of
    a file without a card, only what the model itself knows is printed.
    """
    from skpot.persistence import load, read_card

    from ._card import chosen, show, show_chosen

    card = read_card(model)
    if as_json:
        answer(json.dumps(card, indent=2, ensure_ascii=False))
        return
    if card.get("command") == "skpot fit":
        title(f"{model}: {card['created']} by {card['command']}")
        show(card)
        return
    fitted = load(model)
    title(f"{model}: {type(fitted).__name__}, not written by skpot fit")
    if card:
        answer(json.dumps(card, indent=2, ensure_ascii=False))
    else:
        say("  It has no card: skpot fit and skpot.dump(model, path, card=...) write one.")
    show_chosen(chosen(fitted))
