"""Order-k Markov models of a genome, for language models to be compared with: bits per letter of the part that is held out.

    python benchmarks/markov.py GENOME.fna.gz [--hold-out 0.1] [--length 1024]

Contexts of k letters are counted in the part that is trained on. A context's distribution is mixed with that of its last k − 1 letters, as
if the latter had been seen a number of times more; for each k that number is the one of a few that is best for the last tenth of the
training part.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from miras_compiler.data.fasta import LETTERS
from miras_compiler.data.text import read_documents

ORDERS = tuple(range(17))
PRIORS = (1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0)

Letters = NDArray[np.int64]


def contexts(letters: Letters, order: int) -> Letters:
    """The number of the `order` letters before each letter, from position `order` on."""
    code = np.zeros(len(letters) - order, np.int64)
    for back in range(order, 0, -1):
        code = code * len(LETTERS) + letters[order - back : len(letters) - back]
    return code


def tallies(trained: Letters, asked: Letters, order: int) -> tuple[Letters, Letters]:
    """For each letter of `asked` from `order` on: the number of times that `trained` has its context before that letter, and before any."""
    width = len(LETTERS)
    both = np.concatenate((contexts(trained, order), contexts(asked, order)))
    known, index = np.unique(both, return_inverse=True)
    seen, own = np.split(index, [len(trained) - order])
    counts = np.bincount(seen * width + trained[order:], minlength=len(known) * width).reshape(-1, width)
    return counts[own, asked[order:]], counts.sum(1)[own]


def fit(trained: Letters) -> list[float]:
    """The number for each order, chosen one order after another."""
    cut = len(trained) - len(trained) // 10
    known, asked = trained[:cut], trained[cut:]
    chance = np.full(len(asked), 1 / len(LETTERS))
    priors = []
    for order in ORDERS:
        right, total = tallies(known, asked, order)
        mixed = {prior: (right + prior * chance[order:]) / (total + prior) for prior in PRIORS}
        priors.append(min(PRIORS, key=lambda prior: -float(np.log2(mixed[prior]).sum())))
        chance[order:] = mixed[priors[-1]]
    return priors


def predictions(trained: Letters, held_out: Letters, priors: list[float], lengths: tuple[int, ...]) -> Iterator[list[float]]:
    """For each order, bits per letter of `held_out` in sequences of each length, which begin with no context; the first
    letter of each is not counted."""
    places = [np.arange(len(held_out)) % length for length in lengths]
    chances = [np.full(len(held_out), 1 / len(LETTERS)) for _ in lengths]
    for order, prior in zip(ORDERS, priors, strict=True):
        right, total = tallies(trained, held_out, order)
        for chance, place in zip(chances, places, strict=True):
            mixed = (right + prior * chance[order:]) / (total + prior)
            chance[order:] = np.where(place[order:] >= order, mixed, chance[order:])
        yield [float(-np.log2(chance[place > 0]).mean()) for chance, place in zip(chances, places, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("genome", type=Path)
    parser.add_argument("--hold-out", type=float, default=0.1)
    parser.add_argument("--length", type=int, default=1024)
    given = parser.parse_args()
    (genome,) = read_documents([given.genome])
    letters = np.concatenate(genome.records or ()).astype(np.int64)
    end = len(letters) - math.floor(given.hold_out * len(letters))
    trained, held_out = letters[:end], letters[end:]
    priors = fit(trained)
    print(f"{given.genome.name}: {len(trained):,} letters counted, {len(held_out):,} held out")
    print(f"order  times  bits per letter, as one sequence and in sequences of {given.length}")
    for order, (whole, cut) in enumerate(predictions(trained, held_out, priors, (len(held_out), given.length))):
        print(f"{order:5}  {priors[order]:5g}  {whole:.4f}  {cut:.4f}", flush=True)


if __name__ == "__main__":
    main()
