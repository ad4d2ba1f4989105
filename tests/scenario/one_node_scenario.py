"""One node, real processes: what was acknowledged survives kill -9 in the middle of writing.

Usage: one_node_scenario.py BUILD_DIR [ROUNDS]
Makes a playground, imports a random file with holes, kills the daemon while writers write numbered
blocks, starts it again, and compares everything: the imported volume byte for byte, each writer's
block with the last one that was acknowledged (a later one may be there: it was sent).
"""

import hashlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request

from cell import run_scenario, wait_until

BLOCK = 4096
WRITERS = 4


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


def bad_input(cell):
    """Garbage on every port, wrong rights, wrong configuration: refused, and the node serves on."""
    node = cell.node()
    for port in ("address", "control", "http"):
        host, number = node[port].split(":")
        with socket.create_connection((host, int(number)), timeout=10) as peer:
            peer.sendall(random.randbytes(4000))
            try:
                while peer.recv(4096):
                    pass
            except ConnectionError:
                pass
    cell.expect_line("refused a connection")
    client = os.path.join(cell.folder, "as_client.toml")
    with open(os.path.join(cell.folder, "client.toml"), encoding="utf-8") as file:
        text = file.read()
    with open(client, "w", encoding="utf-8") as file:
        file.write(text.replace("tls/operator", "tls/client"))
    cell.run("volume", "ls", config=client)
    cell.refused("volume", "rm", "image", config=client, expect=4, code="denied")
    with open(client, "w", encoding="utf-8") as file:
        file.write(text + "certificat = \"x\"\n")
    wrong = cell.refused("volume", "ls", config=client, expect=1, code="invalid")
    assert "unknown key" in wrong and "tls.certificate" in wrong, wrong
    cell.run("playground", "kill", cell.folder, "n1", "--signal", "HUP")
    cell.expect_line("reloaded certificates and log level")
    cell.run("volume", "ls")


def every_command(cell, folder):
    """Each command once, or once more, with what a script reads of it."""
    volume = cell.json("volume", "create", "tour", "--size", "4MiB", "--extent", "16KiB")
    assert list(volume) == ["name", "id", "size_bytes", "used_bytes", "extent_bytes", "group", "state"]
    assert volume["extent_bytes"] == 16384 and volume["state"] == "ready"
    data = random.randbytes(1 << 20)
    assert cell.run("--json", "volume", "write", "tour", "--offset", "1MiB", stdin=data).stdout
    got = cell.run("volume", "read", "tour", "--offset", "1MiB", "--length", "1MiB").stdout
    assert got == data
    assert cell.json("volume", "trim", "tour", "--offset", "1MiB", "--length", "512KiB")
    got = cell.run("volume", "read", "tour", "--offset", "1MiB", "--length", "1MiB").stdout
    assert got == bytes(512 << 10) + data[512 << 10:]
    assert cell.json("volume", "resize", "tour", "--size", "8MiB")["size_bytes"] == 8 << 20
    assert "tour" in [each["name"] for each in cell.json("volume", "ls")]
    snapshot = cell.json("snapshot", "create", "tour")
    assert snapshot["id"] in [each["id"] for each in cell.json("snapshot", "ls")]
    assert cell.run("volume", "export", "tour", "-", "--snapshot", snapshot["id"]).stdout
    assert cell.json("snapshot", "rm", snapshot["id"])["state"] == "dropped"
    cell.run("volume", "rm", "tour")
    assert "tour" in [each["name"] for each in cell.json("volume", "ls", "--deleted")]
    node, group = cell.json("node", "ls"), cell.json("group", "ls")
    assert node[0]["node"] == "n1" and node[0]["state"] == "serving" and node[0]["epoch"] > 0
    assert group[0]["primary"] == "n1" and group[0]["replica"] is None and group[0]["sequence"] > 0
    disks = cell.json("disk", "ls", "--node", "n1")
    assert [disk["state"] for disk in disks].count("member") == 10
    spare = next(disk for disk in disks if disk["state"] == "spare")
    cell.run("disk", "ok-to-pull", "n1", str(spare["slot"]))
    cell.refused("disk", "ok-to-pull", "n1", str(disks[0]["slot"]), expect=4, code="denied")
    cell.refused("disk", "ls", "--node", "n2", expect=3, code="not_found")
    cell.run("pool", "checkpoint")
    assert cell.json("pool", "check")["clean"]
    status = cell.json("status")
    assert {"health", "nodes", "groups", "pools", "disks", "volumes"} <= set(status)
    for words in (["status"], ["disk", "ls"], ["pool", "status"], ["op", "ls"], ["group", "ls"]):
        assert cell.run(*words).stdout
    for shell in ("bash", "zsh", "fish"):
        assert b"volume" in cell.run("completions", shell).stdout
    for path in ("/healthz", "/readyz"):
        assert cell.http(path)
    added = os.path.join(folder, "added.img")
    with open(added, "wb") as file:
        file.truncate(512 << 20)
    assert cell.json("disk", "add", "n1", added)["state"] == "spare"
    cell.run("disk", "fail", "n1", str(cell.disk(added)["slot"]))


def long_operation(cell):
    """A scrub is an operation: followed, waited for with a limit, cancelled, over a restart."""
    begun = cell.json("pool", "scrub")
    assert list(begun) == ["operation", "node", "state"]
    ended = cell.json("op", "wait", begun["operation"], "--timeout", "2min")
    assert ended["state"] == "done" and ended["done_bytes"] > 0, ended
    assert cell.json("op", "show", begun["operation"]) == ended
    assert ended in cell.json("op", "ls")
    cell.refused("op", "cancel", begun["operation"], expect=1, code="conflict")
    assert cell.json("pool", "scrub", "--wait", "--timeout", "2min")["message"] == "clean"
    # It goes on without its command, and over a kill of the node, until somebody has waited for it.
    waiting = cell.json("pool", "scrub")["operation"]
    cell.run("playground", "kill", cell.folder, "n1", "--signal", "STOP")
    assert cell.json("op", "wait", waiting, "--timeout", "1s", expect=124)["state"] == "running"
    cell.kill()
    cell.start()
    assert cell.json("op", "wait", waiting, "--timeout", "2min")["state"] == "done"
    assert "unknown" not in str(cell.json("op", "show", waiting))


def retire(cell):
    """A disk's place is taken under writes, over a kill of the node; then by a disk that is named."""
    old = cell.json("disk", "ls")[2]
    cell.run("volume", "create", "moving", "--size", "64MiB")
    writer = subprocess.Popen(cell.load("run", "--writers", "4", volume="moving"),
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: os.path.exists(cell.writes) and cell.acknowledged() > 50, "nobody writes")
    begun = cell.json("disk", "retire", "n1", "2")
    assert list(begun) == ["operation", "node", "state"]
    cell.kill()
    cell.start()
    ended = cell.json("op", "wait", begun["operation"], "--timeout", "2min")
    assert ended["state"] == "done", ended
    writer.terminate()
    writer.wait(timeout=60)
    assert cell.verify("moving")
    assert cell.json("disk", "ls")[2]["uuid"] != old["uuid"]
    if any(disk["path"] == old["path"] for disk in cell.json("disk", "ls")):
        cell.run("--yes", "disk", "wipe", "n1", old["path"])  # the kill came before that
    let_go = cell.json("disk", "ls")[5]["path"]
    ended = cell.json("disk", "replace", "n1", "5", old["path"], "--wait")
    assert ended["state"] == "done" and old["path"] in ended["message"], ended
    assert cell.disk(old["path"])["slot"] == 5
    cell.run("disk", "add", "n1", let_go)  # blank: it may be a spare again
    assert cell.json("pool", "scrub", "--wait")["state"] == "done"
    assert cell.verify("moving")
    cell.refused("disk", "retire", "n1", "99", expect=3, code="not_found")


def watch(cell):
    """One document a line, again and again, also over a restart of the node."""
    watching = subprocess.Popen([os.path.join(cell.bin, "square"), "--json", "--config", cell.config,
                                 "health", "--watch", "--interval", "100ms"],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for _ in range(3):
        assert '"health":' in watching.stdout.readline()
    cell.kill()
    assert "unavailable" in watching.stderr.readline()
    cell.start()
    while '"health":' not in watching.stdout.readline():
        assert watching.poll() is None
    watching.send_signal(signal.SIGINT)
    watching.communicate(timeout=20)


def written_bytes(path):
    """A file without its holes."""
    with open(path, "rb") as file:
        end, at, parts = os.fstat(file.fileno()).st_size, 0, []
        while at < end:
            try:
                begin = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:  # only a hole is left
                break
            at = os.lseek(file.fileno(), begin, os.SEEK_HOLE)
            parts.append(os.pread(file.fileno(), at - begin, begin))
        return b"".join(parts)


def check_secrets(cell, secrets):
    """What a tenant calls things, and what they contain, stands in no disk, file, log or metric."""
    node = cell.json("playground", "ps", cell.folder)[0]
    with urllib.request.urlopen(f"http://{node['http']}/metrics", timeout=10) as answer:
        metrics = answer.read()
    found = [f"metrics: {secret}" for secret in secrets if secret in metrics]
    for folder, _, files in os.walk(os.path.join(cell.folder, "n1")):
        for name in files:
            written = written_bytes(os.path.join(folder, name))
            found += [f"{name}: {secret}" for secret in secrets if secret in written]
    assert not found, found


def scenario(cell, rounds):
    folder = os.path.dirname(cell.folder)
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
    secrets = [b"Payroll-of-Tenant-Seven", b"Before-the-Great-Upgrade", b"4711 owes 1000 to 4712"]
    cell.run("volume", "create", secrets[0].decode(), "--size", "1MiB")
    cell.run("volume", "write", secrets[0].decode(), "--offset", "0",
             stdin=(secrets[2] + b"; ") * 512)
    cell.run("snapshot", "create", secrets[0].decode(), "--name", secrets[1].decode())
    bad_input(cell)
    every_command(cell, folder)
    long_operation(cell)
    retire(cell)
    watch(cell)
    check_secrets(cell, secrets)

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
    cell.run("--yes", "volume", "purge", "counters", expect=3)  # not deleted
    assert "T" in cell.json("volume", "rm", "counters")["undelete_until"]
    refused = cell.run("volume", "purge", "counters", stdin=b"no\n", expect=4)
    assert b"nothing was done" in refused.stderr
    deleted = [v for v in cell.json("volume", "ls", "--deleted") if v["state"] == "deleted"]
    assert "counters" in [v["name"] for v in deleted] and deleted[0]["undelete_until"]
    cell.run("--yes", "volume", "purge", "counters")
    cell.run("volume", "undelete", "counters", expect=3)
    cell.run("pool", "check")
    print(f"{rounds} kills, {acknowledged} acknowledged overwrites, none lost")


if __name__ == "__main__":
    run_scenario("one_node", sys.argv[1], lambda cell: scenario(
        cell, int(sys.argv[2]) if len(sys.argv) > 2 else 5))
