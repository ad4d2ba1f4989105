"""Kills a node with -9 again and again while it is written to, and checks every acknowledged write.

    kill_scenario.py BUILD [ROUNDS]

Each round: a load with many writes in flight, until at least 500 of them were acknowledged and the
write buffer was destaged meanwhile; then kill -9 under that load, at a moment when the node is in
the middle of a journal batch, a destage, a cleaning or a checkpoint, by turns; then the node is
started, the load goes on for a moment over the restart, ends, and every block that was ever
acknowledged, in this round or an earlier one, is read and compared. At the end the index is thrown
away and comes back from the pool.

What the node is in the middle of stands in its page of last words, which outlives it
(docs/formats/last_words.md): there the scenario sees when to kill, and afterwards what was hit.
Each of the four must have been hit. SQUARE_KILL_ROUNDS: how many rounds (50).
SQUARE_SCENARIO_FOLDER: where (tmpfs if there is one; then disks use threads, else io_uring).
"""
import json
import mmap
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import time

from cell import run_scenario

ACKNOWLEDGED_MIN = 500
PATIENCE_S = 60
PHASE_PATIENCE_S = 10
PHASES = ["journal", "destage", "cleaning", "checkpoint"]
FREE_PART = 0.36  # of the pool, beside what lies still: little enough to keep the cleaner at work


class LastWords:
    """The node's page of the present run."""

    def __init__(self, state_dir):
        with open(os.path.join(state_dir, "last_words"), "rb") as file:
            self.page = mmap.mmap(file.fileno(), 4096, prot=mmap.PROT_READ)
        assert self.page[:8] == b"SQLASTW1"

    def in_flight(self):
        return dict(zip(PHASES, struct.unpack_from("<4I", self.page, 12)))


class Acknowledged:
    """Counts the acknowledged writes in the log of square-load, reading what is new."""

    def __init__(self, path):
        self.path, self.at, self.count = path, 0, 0

    def now(self):
        with open(self.path, "rb") as file:
            file.seek(self.at)
            data = file.read()
        whole = len(data) - len(data) % 24
        self.at += whole
        self.count += sum(1 for at in range(0, whole, 24) if data[at] == 2)
        return self.count


def kill_in(node, phase):
    """Kills the node in the middle of `phase`, or after some seconds anyhow. What was hit."""
    words = LastWords(node["state_dir"])
    end = time.monotonic() + PHASE_PATIENCE_S
    while words.in_flight()[phase] == 0 and time.monotonic() < end:
        time.sleep(0.0002)
    if phase != "journal":  # a batch is short
        time.sleep(random.uniform(0, 0.001))  # the point of the kill, not a synchronisation
    os.kill(node["pid"], signal.SIGKILL)
    while os.path.exists(f"/proc/{node['pid']}") and not is_zombie(node["pid"]):
        time.sleep(0.001)
    return words.in_flight()


def is_zombie(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def one_round(cell, acknowledged, phase):
    """One kill under load. Gives what the node did before it and said after it."""
    node = cell.node()
    before, acknowledged_before = cell.metrics(), acknowledged.now()
    load = subprocess.Popen(cell.load("run"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        end = time.monotonic() + PATIENCE_S
        while True:
            assert load.poll() is None, load.communicate()[1].decode()
            assert time.monotonic() < end, "too few acknowledged writes, or no destage"
            if (acknowledged.now() - acknowledged_before >= ACKNOWLEDGED_MIN
                    and cell.metrics()["square_destages_total"] > before["square_destages_total"]):
                break
            time.sleep(0.02)
        last = cell.metrics()
        hit = kill_in(node, phase)
        at_kill = acknowledged.now() - acknowledged_before
        cell.start()
        time.sleep(random.uniform(0, 0.2))  # requests of before the kill are sent again
    finally:
        load.terminate()
        output, errors = load.communicate(timeout=120)
    assert load.returncode == 0, errors.decode()
    checked = cell.verify()
    after = cell.metrics()
    said = {name: int(after[f"square_last_end_{name}_in_flight"]) for name in PHASES}
    assert said == hit and after["square_last_end_clean"] == 0, f"{said} is told, {hit} was hit"
    return {"acknowledged": at_kill, "unknown": json.loads(output)["unknown"],
            "checked": checked["acknowledged"], "blocks": checked["blocks"],
            "destages": int(last["square_destages_total"] - before["square_destages_total"]),
            "checkpoints": int(last["square_checkpoints_total"]
                               - before["square_checkpoints_total"]),
            "moved_mib": int(last["square_moved_bytes_total"]
                             - before["square_moved_bytes_total"]) >> 20,
            "recovered": int(after["square_recovered_operations"]),
            "start_s": after["square_start_seconds"],
            "hit": [name for name in PHASES if hit[name]]}


def index_from_pool(cell):
    cell.kill()
    shutil.rmtree(cell.node()["state_dir"])
    cell.start()
    assert cell.metrics()["square_index_from_pool"] == 1, "the index did not come from the pool"
    cell.verify()


def make_cell(cell):
    """A small pool, most of it filled by what lies still, so that overwriting needs the cleaner."""
    node = cell.up("--disks", "5", "--disk-size", "256MiB")
    # A small buffer is destaged often; a short interval puts checkpoints under the kills.
    with open(node["config"], "a", encoding="utf-8") as file:
        file.write('\n[engine]\nwrite_buffer = "8MiB"\ncheckpoint_interval = "1s"\n')
    cell.down()
    cell.up()
    cell.run("volume", "create", "data", "--size", "32MiB")
    step, at = 8 << 20, 0
    pool = cell.json("pool", "status")[0]
    cell.run("volume", "create", "still", "--size", str(pool["capacity_bytes"] // step * step))
    while pool["free_bytes"] > FREE_PART * pool["capacity_bytes"] + (32 << 20):
        cell.run("volume", "write", "still", "--offset", str(at), stdin=os.urandom(step))
        at += step
        pool = cell.json("pool", "status")[0]
    open(cell.writes, "wb").close()
    return cell.json("volume", "hash", "still")["sha256"]


def scenario(rounds):
    def run(cell):
        still = make_cell(cell)
        acknowledged = Acknowledged(cell.writes)
        results = []
        for number in range(rounds):
            result = one_round(cell, acknowledged, PHASES[number % len(PHASES)])
            results.append(result)
            print(f"round {number + 1}: " + ", ".join(
                f"{key} {'+'.join(value) if key == 'hit' else value}"
                for key, value in result.items()), flush=True)
        index_from_pool(cell)
        assert cell.json("volume", "hash", "still")["sha256"] == still, "what lay still has changed"
        cell.run("pool", "check")
        total = sum(result["acknowledged"] for result in results)
        slowest = max(result["start_s"] for result in results)
        hits = {name: sum(name in result["hit"] for result in results) for name in PHASES}
        print(f"{rounds} kills, {total} acknowledged writes before them, none lost; "
              f"{sum(r['destages'] for r in results)} destages, "
              f"{sum(r['checkpoints'] for r in results)} checkpoints, "
              f"{sum(r['moved_mib'] for r in results)} MiB moved between them; "
              f"slowest start {slowest:.3f} s")
        print("kills in the middle of: " + ", ".join(f"{n} {c}" for n, c in hits.items()))
        assert all(result["acknowledged"] >= ACKNOWLEDGED_MIN for result in results)
        assert all(result["destages"] >= 1 for result in results)
        missed = [name for name in PHASES[:rounds] if hits[name] == 0]
        assert not missed, f"no kill in the middle of: {', '.join(missed)}"
    return run


if __name__ == "__main__":
    run_scenario("kill", sys.argv[1], scenario(
        int(sys.argv[2] if len(sys.argv) > 2 else os.environ.get("SQUARE_KILL_ROUNDS", 50))))
