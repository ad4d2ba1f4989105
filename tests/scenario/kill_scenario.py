"""Kills a node with -9 again and again while it is written to, and checks every acknowledged write.

    kill_scenario.py BUILD [ROUNDS]

Each round: a load with many writes in flight, until at least 500 of them were acknowledged and the
write buffer was destaged meanwhile; then kill -9 under that load; then the node is started, the load
goes on for a moment over the restart, ends, and every block that was ever acknowledged, in this
round or an earlier one, is read and compared. At the end the index is thrown away and comes back
from the pool. SQUARE_KILL_ROUNDS: how many rounds (10). SQUARE_SCENARIO_FOLDER: where (tmpfs if
there is one; then disks use threads, else io_uring). Where in the engine's work the kills fell is
told by what the node says after the start and by the counters before the kill.
"""
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

ACKNOWLEDGED_MIN = 500
PATIENCE_S = 60


class Cell:
    def __init__(self, build, folder):
        self.bin = os.path.join(build, "bin")
        self.folder = folder
        self.config = os.path.join(folder, "client.toml")
        self.writes = os.path.join(os.path.dirname(folder), "writes.log")
        self.node = None

    def run(self, *words, expect=0):
        done = subprocess.run([os.path.join(self.bin, "square"), "--json", "--config", self.config,
                               *words], capture_output=True, timeout=300, check=False)
        if expect is not None and done.returncode != expect:
            raise AssertionError(f"square {' '.join(words)}: exit {done.returncode}, not {expect}\n"
                                 f"{done.stderr.decode()}")
        return json.loads(done.stdout) if done.stdout else None

    def load(self, command, *words):
        return [os.path.join(self.bin, "square-load"), command, "--config", self.config,
                "--volume", "data", "--log", self.writes, *words]

    def metrics(self):
        with urllib.request.urlopen(f"http://{self.node['http']}/metrics", timeout=10) as reply:
            lines = reply.read().decode().splitlines()
        return {name: float(value) for name, value in
                (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}

    def acknowledged(self):
        with open(self.writes, "rb") as file:
            return count(file.read())

    def verify(self):
        done = subprocess.run(self.load("verify"), capture_output=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
        return json.loads(done.stdout)

    def log(self):
        with open(os.path.join(self.folder, "n1", "squared.log"), encoding="utf-8") as file:
            return file.read()


def count(data):
    """Acknowledged writes in a log of entries of 24 bytes (tests/scenario/load.cpp)."""
    return sum(1 for at in range(0, len(data) - len(data) % 24, 24) if data[at] == 2)


def one_round(cell):
    """One kill under load. Gives what the node did before it and said after it."""
    before = cell.metrics()
    acknowledged = cell.acknowledged()
    load = subprocess.Popen(cell.load("run"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        end = time.monotonic() + PATIENCE_S
        while True:
            assert load.poll() is None, load.communicate()[1].decode()
            assert time.monotonic() < end, "too few acknowledged writes, or no destage"
            now = cell.metrics()
            if (cell.acknowledged() - acknowledged >= ACKNOWLEDGED_MIN
                    and now["square_destages_total"] > before["square_destages_total"]):
                break
            time.sleep(0.02)
        time.sleep(random.uniform(0, 0.4))  # the point of the kill, not a synchronisation
        last = cell.metrics()
        cell.run("playground", "kill", cell.folder, "n1")
        at_kill = cell.acknowledged() - acknowledged
        cell.run("playground", "start", cell.folder, "n1")
        time.sleep(random.uniform(0, 0.3))  # requests of before the kill are sent again
    finally:
        load.terminate()
        output, errors = load.communicate(timeout=120)
    assert load.returncode == 0, errors.decode()
    checked = cell.verify()
    after = cell.metrics()
    return {"acknowledged": at_kill, "unknown": json.loads(output)["unknown"],
            "checked": checked["acknowledged"], "blocks": checked["blocks"],
            "destages": int(last["square_destages_total"] - before["square_destages_total"]),
            "checkpoints": int(last["square_checkpoints_total"]
                               - before["square_checkpoints_total"]),
            "recovered": int(after["square_recovered_operations"]),
            "start_s": after["square_start_seconds"]}


def index_from_pool(cell):
    cell.run("playground", "kill", cell.folder, "n1")
    shutil.rmtree(cell.node["state_dir"])
    cell.run("playground", "start", cell.folder, "n1")
    assert cell.metrics()["square_index_from_pool"] == 1, "the index did not come from the pool"
    cell.verify()


def scenario(cell, rounds):
    cell.node = cell.run("playground", "up", cell.folder, "--disk-size", "512MiB")[0]
    # A small buffer is destaged often; a short interval puts checkpoints under the kills.
    with open(cell.node["config"], "a", encoding="utf-8") as file:
        file.write('\n[engine]\nwrite_buffer = "8MiB"\ncheckpoint_interval = "1s"\n')
    cell.run("playground", "down", cell.folder)
    cell.run("playground", "up", cell.folder)
    cell.run("volume", "create", "data", "--size", "64MiB")
    open(cell.writes, "wb").close()
    results = []
    for number in range(rounds):
        result = one_round(cell)
        results.append(result)
        print(f"round {number + 1}: " + ", ".join(f"{k} {v}" for k, v in result.items()),
              flush=True)
    index_from_pool(cell)
    cell.run("pool", "check")
    total = sum(result["acknowledged"] for result in results)
    slowest = max(result["start_s"] for result in results)
    print(f"{rounds} kills, {total} acknowledged writes before them, none lost; "
          f"{sum(r['destages'] for r in results)} destages, "
          f"{sum(r['checkpoints'] for r in results)} checkpoints between them; "
          f"slowest start {slowest:.3f} s")
    assert all(result["acknowledged"] >= ACKNOWLEDGED_MIN for result in results)
    assert all(result["destages"] >= 1 for result in results)


def main():
    build = sys.argv[1]
    rounds = int(sys.argv[2] if len(sys.argv) > 2 else os.environ.get("SQUARE_KILL_ROUNDS", 10))
    seed = int(os.environ.get("SQUARE_SEED", time.time_ns() % 1_000_000))
    print(f"SQUARE_SEED={seed}")
    random.seed(seed)
    shared = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    shared = os.environ.get("SQUARE_SCENARIO_FOLDER", shared)
    folder = tempfile.mkdtemp(prefix="square_kill_", dir=shared)
    cell = Cell(build, os.path.join(folder, "cell"))
    try:
        scenario(cell, rounds)
    except BaseException:
        print(cell.log()[-4000:] if os.path.exists(os.path.join(cell.folder, "n1")) else "")
        raise
    finally:
        cell.run("playground", "down", cell.folder, expect=None)
        if os.environ.get("SQUARE_KEEP"):
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
