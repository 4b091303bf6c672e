"""Write people.csv and new_people.csv: text, dates, missing values, and three broken rows.

    python examples/people.py [FOLDER]

Invented people, 2500 with a label and 5 without; what makes incomes high is written below.
"""

import csv
import sys
from datetime import date, timedelta
from pathlib import Path

import numpy as np

EDUCATION = ["none", "school", "college", "bachelor", "master", "doctorate"]
OCCUPATION = [
    "baker", "carpenter", "clerk", "cook", "driver", "engineer", "farmer", "lawyer", "manager",
    "nurse", "painter", "physician", "sales", "teacher",
]  # fmt: skip
CITY = [
    "Aarhus", "Athens", "Bilbao", "Bologna", "Brno", "Cork", "Dresden", "Gdansk", "Genoa", "Ghent",
    "Graz", "Leeds", "Lille", "Lyon", "Malmo", "Nantes", "Oslo", "Porto", "Riga", "Rome", "Seville",
    "Split", "Tampere", "Turin", "Utrecht",
]  # fmt: skip
HEADER = ["age", "education", "occupation", "city", "hours", "joined", "remote", "income"]


def people(n, rng):
    """Return n rows of text."""
    paid = dict(zip(OCCUPATION, rng.normal(0, 1.2, len(OCCUPATION))))
    rich = dict(zip(CITY, rng.normal(0, 0.8, len(CITY))))
    rows = []
    for _ in range(n):
        age, hours = int(rng.integers(18, 76)), int(np.clip(rng.normal(38, 9), 4, 80))
        level = int(rng.integers(len(EDUCATION)))
        job, city = str(rng.choice(OCCUPATION)), str(rng.choice(CITY))
        joined = date(2024, 12, 31) - timedelta(days=int(rng.integers(0, 365 * min(age - 17, 25))))
        remote = bool(rng.random() < 0.3)
        score = 0.8 * (level - 2.5) + paid[job] + rich[city] + 0.08 * (hours - 38) - 0.4 * remote
        score += 2.0 - ((age - 50) / 14) ** 2 + 0.12 * (2025 - joined.year) - 2.0
        income = "over 50k" if rng.logistic(score, 0.5) > 0 else "up to 50k"
        cells = [age, EDUCATION[level], job, city, hours, joined, str(remote).lower()]
        missing = rng.random(7) < (0.03, 0, 0.02, 0.02, 0.04, 0.02, 0)
        rows.append([*("" if lost else str(cell) for lost, cell in zip(missing, cells)), income])
    return rows


def main(folder):
    rows = people(2505, np.random.default_rng(0))
    known, new = rows[:2500], [row[:-1] for row in rows[2500:]]
    known[700][4] = "4O"  # the letter
    known[1400] = known[1400][:5]
    known[2100][5] = "2019-02-31"
    new[1][3] = "Atlantis"
    for name, lines in (("people.csv", [HEADER, *known]), ("new_people.csv", [HEADER[:-1], *new])):
        with open(folder / name, "w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(lines)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent))
