"""One node, real processes: what was acknowledged survives kill -9 in the middle of writing.

Usage: one_node_scenario.py BUILD_DIR [ROUNDS]
Makes a playground, imports a random file with holes, kills the daemon while writers write numbered
blocks, starts it again, and compares everything: the imported volume byte for byte, each writer's
block with the last one that was acknowledged (a later one may be there: it was sent).
"""

import hashlib
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

BLOCK = 4096
WRITERS = 4


class Cell:
    def __init__(self, build, folder):
        self.square = os.path.join(build, "bin", "square")
        self.folder = folder
        self.environment = dict(os.environ, SQUARE_CONFIG=os.path.join(folder, "client.toml"))

    def run(self, *words, stdin=None, expect=0):
        done = subprocess.run([self.square, *words], input=stdin, capture_output=True,
                              env=self.environment, timeout=300, check=False)
        if expect is not None and done.returncode != expect:
            raise AssertionError(f"square {' '.join(words)}: exit {done.returncode}, not {expect}\n"
                                 f"{done.stderr.decode()}")
        return done

    def json(self, *words):
        return json.loads(self.run("--json", *words).stdout)

    def log(self):
        with open(os.path.join(self.folder, "n1", "squared.log"), encoding="utf-8") as file:
            return file.read()


class Writer(threading.Thread):
    """Overwrites its own block with a counter until stopped; knows the last acknowledged one."""

    def __init__(self, cell, index):
        super().__init__(daemon=True)
        self.cell, self.index = cell, index
        self.sent = self.acknowledged = 0
        self.failed = None
        self.stopped = threading.Event()

    def run(self):
        while not self.stopped.is_set():
            self.sent += 1
            data = self.sent.to_bytes(8, "little") * (BLOCK // 8)
            done = self.cell.run("volume", "write", "counters", "--offset",
                                 str(self.index * BLOCK), stdin=data, expect=None)
            if done.returncode == 0:
                self.acknowledged = self.sent
            elif done.returncode not in (5, 6):
                self.failed = done.stderr.decode()
                return

    def check(self):
        if self.failed:
            raise AssertionError(f"writer {self.index}: {self.failed}")
        data = self.cell.run("volume", "read", "counters", "--offset", str(self.index * BLOCK),
                             "--length", str(BLOCK)).stdout
        number = int.from_bytes(data[:8], "little")
        assert data == data[:8] * (BLOCK // 8), f"writer {self.index}: a torn block"
        assert self.acknowledged <= number <= self.sent, (
            f"writer {self.index}: block {number}, acknowledged {self.acknowledged}, "
            f"sent {self.sent}")


def make_input(path):
    with open(path, "wb") as file:
        for offset in (0, 5 << 20, 20 << 20):
            file.seek(offset)
            file.write(random.randbytes(3 << 20))
        file.truncate(32 << 20)


def digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def check_content(cell, folder, expected, snapshot):
    output = os.path.join(folder, "output")
    cell.run("volume", "export", "image", output)
    assert digest(output) == expected, "the exported image is not the imported one"
    assert os.stat(output).st_blocks * 512 < 16 << 20, "the holes were not kept"
    assert cell.json("volume", "hash", "image")["sha256"] == expected
    assert cell.json("volume", "hash", "image", "--snapshot", snapshot)["sha256"] == expected


def kill_while_writing(cell, writers):
    threads = [Writer(cell, index) for index in range(WRITERS)]
    for old, new in zip(writers, threads):
        new.sent = new.acknowledged = old.sent
    for thread in threads:
        thread.start()
    time.sleep(random.uniform(0.3, 1.5))  # the point of the kill, not a synchronisation
    cell.run("playground", "kill", cell.folder, "n1")
    cell.run("playground", "start", cell.folder, "n1")
    for thread in threads:
        thread.stopped.set()
    for thread in threads:
        thread.join()
        thread.check()
    return threads


def expect_line(cell, text):
    end = time.monotonic() + 10
    while text not in cell.log():
        assert time.monotonic() < end, f"the log has no line with: {text}"
        time.sleep(0.05)


def bad_input(cell):
    """Garbage on every port, wrong rights, wrong configuration: refused, and the node serves on."""
    node = cell.json("playground", "ps", cell.folder)[0]
    for port in ("address", "control", "http"):
        host, number = node[port].split(":")
        with socket.create_connection((host, int(number)), timeout=10) as peer:
            peer.sendall(random.randbytes(4000))
            try:
                while peer.recv(4096):
                    pass
            except ConnectionError:
                pass
    expect_line(cell, "refused a connection")
    client = os.path.join(cell.folder, "as_client.toml")
    with open(os.path.join(cell.folder, "client.toml"), encoding="utf-8") as file:
        text = file.read()
    with open(client, "w", encoding="utf-8") as file:
        file.write(text.replace("tls/operator", "tls/client"))
    cell.run("--config", client, "volume", "ls")
    refused = cell.run("--config", client, "--json", "volume", "rm", "image", expect=4)
    assert json.loads(refused.stderr)["error"]["code"] == "denied"
    with open(client, "w", encoding="utf-8") as file:
        file.write(text + "certificat = \"x\"\n")
    wrong = cell.run("--config", client, "volume", "ls", expect=1).stderr.decode()
    assert "unknown key" in wrong and "tls.certificate" in wrong, wrong
    cell.run("playground", "kill", cell.folder, "n1", "--signal", "HUP")
    expect_line(cell, "reloaded certificates and log level")
    cell.run("volume", "ls")


def scenario(cell, folder, rounds):
    cell.run("playground", "up", cell.folder, "--disk-size", "512MiB")
    cell.run("playground", "up", cell.folder)  # nothing to do
    assert cell.json("playground", "ps", cell.folder)[0]["running"]
    cell.run("volume", "create", "image", "--size", "32MiB")
    cell.run("volume", "create", "counters", "--size", "16MiB")
    cell.run("volume", "create", "image", "--size", "32MiB", expect=1)
    cell.run("volume", "show", "nothing", expect=3)
    cell.run("volume", "write", "counters", "--offset", "16MiB", stdin=b"x" * 512, expect=1)
    source = os.path.join(folder, "input")
    make_input(source)
    expected = digest(source)
    cell.run("volume", "import", "image", source)
    snapshot = cell.json("snapshot", "create", "image", "--name", "first")["id"]
    check_content(cell, folder, expected, snapshot)
    bad_input(cell)

    writers = [Writer(cell, index) for index in range(WRITERS)]
    acknowledged = 0
    for _ in range(rounds):
        before = sum(writer.sent for writer in writers)
        writers = kill_while_writing(cell, writers)
        acknowledged += sum(writer.acknowledged for writer in writers) - before
        check_content(cell, folder, expected, snapshot)

    with open(source, "rb") as file:
        cell.run("volume", "import", "counters", "-", stdin=file.read(1 << 20))
    assert cell.json("volume", "show", "image")["used_bytes"] == 9 << 20
    assert cell.json("status")["health"] == "ok"
    cell.run("health")
    cell.run("pool", "check")
    cell.run("playground", "down", cell.folder)
    assert not cell.json("playground", "ps", cell.folder)[0]["running"]
    assert "stopped" in cell.log()
    cell.run("volume", "ls", expect=5)
    cell.run("playground", "up", cell.folder)
    check_content(cell, folder, expected, snapshot)
    cell.run("volume", "rm", "image")
    cell.run("volume", "hash", "image", expect=3)
    cell.run("volume", "undelete", "image")
    check_content(cell, folder, expected, snapshot)
    print(f"{rounds} kills, {acknowledged} acknowledged overwrites, none lost")


def main():
    build = sys.argv[1]
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    seed = int(os.environ.get("SQUARE_SEED", time.time_ns() % 1_000_000))
    print(f"SQUARE_SEED={seed}")
    random.seed(seed)
    shared = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    folder = tempfile.mkdtemp(prefix="square_one_node_", dir=shared)
    cell = Cell(build, os.path.join(folder, "cell"))
    try:
        scenario(cell, folder, rounds)
    except BaseException:
        print(cell.log()[-4000:] if os.path.exists(os.path.join(cell.folder, "n1")) else "")
        raise
    finally:
        cell.run("playground", "down", cell.folder, expect=None)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
