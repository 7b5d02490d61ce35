"""`python -m tests.benchmarks [--soak] [--quick] [--json FILE]`: every figure beside its floor, from the same run.

The machine is noisy, so figures are medians, and the column that counts is the ratio to the floor: the same question
asked in raw SQL through the driver alone.
"""

import argparse
import json
import sys
from pathlib import Path

from tests.benchmarks import questions, soak


def main() -> None:
    """Run the benchmarks that are asked for and print one table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the history, fewer repetitions")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE as well")
    parser.add_argument("--soak", action="store_true", help="instead: a simulated year of the daemon")
    chosen = parser.parse_args()
    benchmark = soak if chosen.soak else questions
    figures = benchmark.measure(quick=chosen.quick)
    sys.stdout.write(benchmark.table(figures))
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
