#!/usr/bin/env python3
"""The table of benches/relay.sh, from its figures: medians of the rounds beside those of stunnel, and the goals."""

import json
import statistics
import sys

# CPU time of a transaction as a part of stunnel's.
CPU_GOALS = {"tunnel": 0.75, "icap": 1.0}
# KiB a connection.
MEMORY_GOAL = 64


def main():
    figures = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
    memory = {one["kind"]: one for one in figures if one["case"] == "memory"}
    rounds = [one for one in figures if one["case"] != "memory"]
    for case in dict.fromkeys(one["case"] for one in rounds):
        of_case = [one for one in rounds if one["case"] == case]
        print(f"\n{case:<16}{'CPU us/transaction':>20}{'of stunnel':>12}{'answers/s':>12}{'p99 us':>10}  goals")
        kinds = dict.fromkeys(one["kind"] for one in of_case)
        table = {kind: medians([one for one in of_case if one["kind"] == kind]) for kind in kinds}
        for kind, (cpu, spread, rate, p99) in table.items():
            base_cpu, _, _, base_p99 = table["stunnel"]
            goals = ""
            if kind in CPU_GOALS:
                goals = f"CPU {goal(cpu / base_cpu, CPU_GOALS[kind])}, p99 {goal(p99 / base_p99, 1.0)}"
            shown = f"{cpu:.1f} {spread}"
            print(f"  {kind:<14}{shown:>20}{cpu / base_cpu:>12.2f}{rate:>12.0f}{p99:>10.0f}  {goals}")
    print(f"\n{'memory':<16}{'KiB/connection':>20}")
    for kind, one in memory.items():
        each = int(one["kib"]) / int(one["connections"])
        goals = f"memory {goal(each, MEMORY_GOAL)}" if kind in CPU_GOALS else ""
        print(f"  {kind:<14}{each:>20.1f}{'':>34}  {goals}")
    compared = sum(one["load"]["seen"]["compared_bytes"] for one in figures)
    answers = sum(one["load"]["seen"]["requests"] for one in figures)
    print(f"\n{answers} answers, {compared} bytes of bodies compared, none wrong")


def medians(rounds):
    """CPU in us with its least and greatest value, answers a second, p99 in us."""
    cpu = [1e6 * int(one["ticks"]) / one["hertz"] / one["load"]["seen"]["requests"] for one in rounds]
    rate = statistics.median(one["load"]["seen"]["rate"] for one in rounds)
    p99 = statistics.median(one["load"]["latency"]["p99"] for one in rounds)
    return statistics.median(cpu), f"[{min(cpu):.0f}..{max(cpu):.0f}]", rate, p99


def goal(value, most):
    return f"<= {most:g}: " + ("met" if value <= most else "MISSED")


main()
