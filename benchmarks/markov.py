"""Order-k Markov models of a genome, for language models to be compared with: bits per letter of the part that is held out.

    python benchmarks/markov.py GENOME.fna.gz [--hold-out 0.1] [--length 1024]

Contexts of k letters are counted in the part that is trained on. A context's distribution is mixed with that of its last k − 1 letters, as
if the latter had been seen a number of times more; that number is the one of a few that is best for the last tenth of the training part.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from miras_compiler.data.fasta import LETTERS, read_records
from miras_compiler.data.text import read_documents

ORDERS = tuple(range(17))
PRIORS = (16.0, 64.0, 256.0, 1024.0, 4096.0)

Letters = NDArray[np.int64]


def contexts(letters: Letters, order: int) -> Letters:
    """The number of the `order` letters before each letter, from position `order` on."""
    code = np.zeros(len(letters) - order, np.int64)
    for back in range(order, 0, -1):
        code = code * len(LETTERS) + letters[order - back : len(letters) - back]
    return code


def predictions(trained: Letters, held_out: Letters, priors: tuple[float, ...], length: int | None) -> NDArray[np.float64]:
    """[order, prior]: bits per letter of `held_out`. Of sequences of `length` letters, each begins with no context, and its first letter is
    not counted; without a length the whole is one sequence."""
    width, weights = len(LETTERS), np.array(priors)[:, None]
    chance = np.full((len(priors), len(held_out)), 1 / width)
    place = np.arange(len(held_out)) % length if length else np.arange(len(held_out))
    found = []
    for order in ORDERS:
        both = np.concatenate((contexts(trained, order), contexts(held_out, order)))
        known, index = np.unique(both, return_inverse=True)
        seen, asked = np.split(index, [len(trained) - order])
        counts = np.bincount(seen * width + trained[order:], minlength=len(known) * width).reshape(-1, width)
        right, total = counts[asked, held_out[order:]], counts.sum(1)[asked]
        mixed = (right + weights * chance[:, order:]) / (total + weights)
        chance[:, order:] = np.where(place[order:] >= order, mixed, chance[:, order:])
        found.append(-np.log2(chance[:, place > 0]).mean(1))
    return np.stack(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("genome", type=Path)
    parser.add_argument("--hold-out", type=float, default=0.1)
    parser.add_argument("--length", type=int, default=1024)
    given = parser.parse_args()
    letters = np.concatenate(read_records(read_documents([given.genome]))).astype(np.int64)
    end = len(letters) - math.floor(given.hold_out * len(letters))
    trained, held_out = letters[:end], letters[end:]
    inner = end - end // 10
    tried = predictions(letters[:inner], letters[inner:end], PRIORS, None)
    order, number = np.unravel_index(tried.argmin(), tried.shape)
    chosen = (PRIORS[number],)
    whole, cut = predictions(trained, held_out, chosen, None), predictions(trained, held_out, chosen, given.length)
    print(f"{given.genome.name}: {len(trained):,} letters counted, {len(held_out):,} held out")
    print(f"best for the last tenth of the former: order {order}, prior {chosen[0]:g}")
    print(f"bits per letter, as one sequence and in sequences of {given.length}")
    for each, (first, second) in zip(ORDERS, zip(whole[:, 0], cut[:, 0], strict=True), strict=True):
        print(f"order {each:2}  {first:.4f}  {second:.4f}")


if __name__ == "__main__":
    main()
