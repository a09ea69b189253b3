#!/usr/bin/env python3
"""What policies, approval, log and the comparison with earlier releases add to a question.

The twenty questions of questions.sql over the bundled data, in three ways, in turn:
  open   each in a sandbox of its own without policies; small cells are hidden as the policies ask
  alone  each in a sandbox of its own under the three policies, approved by rule and logged
  study  all in one sandbox: besides, each is compared with every earlier one

Printed are milliseconds for a question, the median of the rounds: wall time as the sandbox reports it, and processor time of all processes
less that of starting the sandbox. Only processor time means anything while the machine does other work. In the first two ways a question
meets processes that have just started, which in a study only the first one does.

In the dev profile the nodes' own work (keys, ledger, records) is hardly optimised, and costs several times what it does in a release.

  cargo build --release && examples/network/overhead.py target/release/consilium [ROUNDS]
"""

import json
import pathlib
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile

NETWORK = pathlib.Path(__file__).resolve().parent
TABLES = NETWORK.parent / "data" / "omop"
SITES = ["hospital_A", "hospital_B", "hospital_C"]
# Of the policies' numbers the strictest, which questions without policies are asked under too.
SMALLEST_CELL = ["--set", "min_patients=11"]
# Refused before anything runs.
NO_QUESTION = "SELEC"


def questions():
    lines = (NETWORK / "questions.sql").read_text().splitlines()
    return [line for line in lines if line.strip() and not line.startswith("--")]


def folders(at):
    """The network with its policies and without, over the same tables."""
    study, open_ = at / "study", at / "open"
    for folder in (study, open_):
        for site in SITES:
            shutil.copytree(TABLES / site, folder / site)
        shutil.copy(NETWORK / "network.toml", folder)
    shutil.copy(NETWORK / "study.toml", study)
    for site in SITES:
        shutil.copy(NETWORK / site / "policy.toml", study / site)
    return study, open_


def processor_ms():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (used.ru_utime + used.ru_stime)


def sandbox(program, folder, asked, more=()):
    """Wall time of the questions as reported, processor time of everything, bytes sent."""
    command = [program, "sandbox", "--data", str(folder), "--format", "json", *more]
    for sql in asked:
        command += ["-e", sql]
    before = processor_ms()
    run = subprocess.run(command, capture_output=True, text=True)
    costs = [json.loads(line)["cost"] for line in run.stdout.splitlines()]
    if len(costs) != len(asked) and asked != [NO_QUESTION]:
        sys.exit(f"{len(costs)} of {len(asked)} questions were answered\n{run.stderr}")
    used = processor_ms() - before
    return [sum(cost["wall_ms"] for cost in costs), used, sum(cost["bytes"] for cost in costs)]


def together(runs):
    return [sum(column) for column in zip(*runs)]


def main():
    program, rounds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 3
    asked = questions()
    ways = {"open": [], "alone": [], "study": []}
    with tempfile.TemporaryDirectory() as at:
        study, open_ = folders(pathlib.Path(at))
        for _ in range(rounds):
            start = statistics.median(sandbox(program, open_, [NO_QUESTION])[1] for _ in range(5))
            one_by_one = len(asked) * start
            found = {
                "open": (together(sandbox(program, open_, [sql], SMALLEST_CELL) for sql in asked), one_by_one),
                "alone": (together(sandbox(program, study, [sql]) for sql in asked), one_by_one),
                "study": (sandbox(program, study, asked), start),
            }
            for way, ((wall, used, sent), less) in found.items():
                ways[way].append([wall / len(asked), (used - less) / len(asked), sent / len(asked)])
    medians = {way: [statistics.median(column) for column in zip(*runs)] for way, runs in ways.items()}
    print("           wall ms  processor ms   bytes sent   more wall ms  more processor ms")
    for way, (wall, used, sent) in medians.items():
        more = [value - base for value, base in zip((wall, used), medians["open"])]
        print(f"{way:<8}{wall:>10.1f}{used:>14.1f}{sent:>13.0f}{more[0]:>15.1f}{more[1]:>19.1f}")
    wall, base = medians["study"][0], medians["open"][0]
    print(f"{len(asked)} questions, {rounds} rounds: a question of the study takes {100 * (wall / base - 1):.0f} % longer")


main()
