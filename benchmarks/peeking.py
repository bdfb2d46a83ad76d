"""What looking at an experiment again and again does: 2,000 experiments, 100 looks each, per kind of data."""

from __future__ import annotations

from .outcome import Outcome


def main() -> list[Outcome]:
    from tests.research.peeking import ALPHA, GROUP_LOOKS, LOOKS, SCENARIOS, UNITS, exact_level, peek

    found: list[Outcome] = []
    grouped: list[float] = []
    print(f"{LOOKS} looks, {UNITS} units an arm at the end, nominal alpha {ALPHA}")
    heads = (
        "data",
        "always-valid",
        "naive Welch",
        "group seq.",
        "coverage",
        "coverage B",
        "power",
        "power GS",
    )
    print("".join(f"{head:>16}" for head in heads))
    for scenario in SCENARIOS:
        one = peek(scenario)
        rates = (
            one.always_valid, one.naive, one.group_sequential,
            one.coverage, one.coverage_with_effect, one.power, one.group_power,
        )  # fmt: skip
        print(f"{scenario.name:>16}" + "".join(f"{rate:>16.4f}" for rate in rates))
        name = scenario.name
        grouped.append(one.group_sequential)
        found += [
            Outcome(f"{name}: A/A rejected at some look, always-valid", one.always_valid, "", "<=", ALPHA),
            Outcome(f"{name}: A/A rejected at some look, naive Welch", one.naive, "", ">=", 0.30),
            Outcome(f"{name}: A/A rejected, group sequential of 5 looks", one.group_sequential, ""),
            Outcome(f"{name}: intervals of all looks hold 0", one.coverage, "", ">=", 0.95),
            Outcome(
                f"{name}: intervals of all looks hold the effect", one.coverage_with_effect, "", ">=", 0.95
            ),
            Outcome(f"{name}: power at 0.05 sd, always-valid", one.power, "", ">=", 0.70),
            Outcome(f"{name}: power at 0.05 sd, group sequential", one.group_power, "", ">=", 0.92),
        ]
    # A group sequential test spends its alpha to the last digit: of 2,000 A/A tests the share rejected lies
    # above or below it by chance, with a standard error of 0.005, so that the bar is held to all kinds together.
    found.append(
        Outcome(
            f"all kinds: A/A rejected, group sequential of {len(GROUP_LOOKS)} looks",
            sum(grouped) / len(grouped),
            "",
            "<=",
            ALPHA,
            f"level by numerical integration {exact_level():.6f}",
        )
    )
    return found
