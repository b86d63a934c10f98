"""The tasks of the benchmark: reasoning-gym's own questions and its own scoring, the same for both contenders.

`python tasks.py '{"kinds": [{"name", "config"}], "seed", "count"}'` prints the tasks, one JSON line each ({"kind", "messages"}), then scores: for every line
{"task": index, "text": completion} on stdin, one number on stdout.
"""
import json
import sys
import warnings

warnings.filterwarnings("ignore")

import reasoning_gym  # noqa: E402

SYSTEM = "Reply with the answer only."
EXAMPLE_SEED = 99


class Tasks:
    """Kinds take turns: task i is the (i div n)-th question of kind i mod n. Each prompt shows one solved example of its kind, always the same."""

    def __init__(self, kinds, seed, count):
        self.kinds, self.count = kinds, count
        per_kind = -(-count // len(kinds))
        self.datasets = [reasoning_gym.create_dataset(kind["name"], seed=1000 + seed, size=per_kind, **kind["config"]) for kind in kinds]
        self.examples = [reasoning_gym.create_dataset(kind["name"], seed=EXAMPLE_SEED, size=1, **kind["config"])[0] for kind in kinds]

    def _entry(self, index):
        turn, kind = divmod(index, len(self.kinds))
        return kind, self.datasets[kind][turn]

    def task(self, index):
        kind, entry = self._entry(index)
        example = self.examples[kind]
        messages = [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": example["question"].strip()},
            {"role": "assistant", "content": example["answer"]},
            {"role": "user", "content": entry["question"].strip()},
        ]
        return {"kind": self.kinds[kind]["name"], "messages": messages}

    def score(self, index, text):
        """1 if reasoning-gym takes the completion for right, else 0. What it gives for answers that are merely close to one (0.01 to 0.1, by their length) is left out:
        divided by a group's standard deviation it would count as much as being right."""
        kind, entry = self._entry(index)
        return float(self.datasets[kind].score_answer(text.strip(), entry) >= 1)


if __name__ == "__main__":
    tasks = Tasks(**json.loads(sys.argv[1]))
    for i in range(tasks.count):
        print(json.dumps(tasks.task(i)), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(tasks.score(request["task"], request["text"])), flush=True)
