"""Bad input at the real process: each is told clearly, the node serves on where it can, and nothing
is lost.

    bad_input_scenario.py BUILD
"""

import hashlib
import json
import os
import random
import shutil
import socket
import ssl
import subprocess
import sys

from cell import Cell, run_scenario, wait_until

MIB = 1 << 20


def digest(data):
    return hashlib.sha256(data).hexdigest()


class Content:
    """A volume whose bytes are known."""

    def __init__(self, cell, name="precious"):
        self.cell, self.name = cell, name
        self.bytes = random.randbytes(8 * MIB)
        cell.run("volume", "create", name, "--size", "8MiB")
        cell.run("volume", "import", name, "-", stdin=self.bytes)

    def check(self):
        assert self.cell.json("volume", "hash", self.name)["sha256"] == digest(self.bytes), \
            f"{self.name} has changed"


def step(text):
    print(f"- {text}", flush=True)


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


# ---- configuration

def squared(cell, *words):
    done = subprocess.run([os.path.join(cell.bin, "squared"), *words], capture_output=True,
                          timeout=60, check=False)
    return done.returncode, done.stderr.decode()


def wrong_config(cell, old, new, *expected):
    """The node's configuration with `old` replaced is refused, by the check and by the start."""
    good = cell.node()["config"]
    bad = os.path.join(os.path.dirname(good), "bad.toml")
    text = read(good)
    assert old in text, f"{old} is not in {good}"
    write(bad, text.replace(old, new))
    for flag in ("--check-config", "--config"):
        code, errors = squared(cell, flag, bad)
        assert code in (1, 2), f"{flag} {new}: exit {code}\n{errors}"
        for part in expected:
            assert part in errors, f"{flag} {new}: no \"{part}\" in:\n{errors}"


def bad_configuration(cell):
    step("a configuration with an unknown key, a wrong size, a missing key, a read-only state folder")
    node = cell.node()
    code, errors = squared(cell, "--check-config", node["config"])
    assert code == 0, errors
    wrong_config(cell, "parity_disks = 2", "parity_disk = 2\n", "bad.toml:", "unknown key",
                 "pool.parity_disks")
    wrong_config(cell, "[pool]", "[engine]\nwrite_buffer = \"64 MB\"\n[pool]", "bad.toml:",
                 "engine.write_buffer", "64 MiB")
    wrong_config(cell, "/tls/n1.key", "/tls/nothing.key", "tls.key", "nothing.key")
    wrong_config(cell, "/keys\"", "/no_keys\"", "node.keys_dir", "root.key")
    # Also root cannot make a folder in a file.
    wrong_config(cell, "/state\"", "/squared.toml/state\"", "node.state_dir", "must take writes")
    code, errors = squared(cell, "--check-config", "/nowhere/squared.toml")
    assert code == 2 and "/nowhere/squared.toml" in errors, errors
    client = os.path.join(cell.folder, "bad_client.toml")
    write(client, read(cell.config) + "certificat = \"x\"\n")
    message = cell.refused("volume", "ls", config=client, expect=1, code="invalid")
    assert "unknown key" in message and "tls.certificate" in message, message


# ---- the network

def tls_socket(cell, port, name="client"):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(os.path.join(cell.folder, "tls", "ca.crt"))
    context.load_cert_chain(os.path.join(cell.folder, "tls", f"{name}.crt"),
                            os.path.join(cell.folder, "tls", f"{name}.key"))
    host, number = cell.node()[port].split(":")
    return context.wrap_socket(socket.create_connection((host, int(number)), timeout=20))


def send_and_drain(peer, data):
    try:
        peer.sendall(data)
        peer.shutdown(socket.SHUT_WR)
        while peer.recv(4096):
            pass
    except OSError:
        pass


def garbage(cell, content):
    step("garbage on every port, in the clear and behind a good certificate")
    node = cell.node()
    for port in ("address", "control", "http"):
        host, number = node[port].split(":")
        for data in (random.randbytes(4000), b"GET / HTTP/1.1\r\n\r\n", b"\0" * 100_000, b"\x16\x03"):
            with socket.create_connection((host, int(number)), timeout=20) as peer:
                send_and_drain(peer, data)
    before = cell.metrics()["square_data_protocol_errors_total"]
    for data in (random.randbytes(4000), b"GET / HTTP/1.1\r\nHost: n1\r\n\r\n", b"\xff" * 100_000):
        with tls_socket(cell, "address") as peer:
            send_and_drain(peer, data)
    wait_until(lambda: cell.metrics()["square_data_protocol_errors_total"] >= before + 3,
               "the garbage is not counted")
    cell.expect_line("refused a connection")
    cell.expect_line("closed the connection of client/playground")
    content.check()


def as_client(cell, name):
    """A client.toml that uses tls/NAME."""
    path = os.path.join(cell.folder, f"as_{name}.toml")
    write(path, read(cell.config).replace("tls/operator", f"tls/{name}"))
    return path


def certificates(cell, content):
    step("a client's certificate: without the right, expired, of another cell, of another authority")
    ca = os.path.join(cell.folder, "tls", "ca")
    cell_id = json.loads(read(os.path.join(cell.folder, "playground.json")))["cell"]
    cell.run("volume", "ls", config=as_client(cell, "client"))
    message = cell.refused("volume", "rm", "precious", config=as_client(cell, "client"), expect=4,
                           code="denied")
    assert "client/playground" in message, message

    def order(name, *words, authority=ca):
        cell.tamper("certificate", authority, words[0], words[1],
                    os.path.join(cell.folder, "tls", name), *words[2:])
        return as_client(cell, name)

    foreign = "00000000-0000-4000-8000-000000000000"
    expired = order("expired", cell_id, "operator/old", "expired")
    other = order("other", foreign, "operator/other")
    gateway = order("gateway", cell_id, "gateway/x")
    cell.refused("volume", "rm", "precious", config=gateway, expect=4, code="denied")
    for config, word in ((expired, "must be renewed"), (gateway, "gateway")):
        message = cell.refused("volume", "hash", "precious", config=config, expect=4, code="denied")
        assert word in message, message
    cell.refused("volume", "rm", "precious", config=expired, expect=4, code="denied")
    message = cell.refused("volume", "hash", "precious", config=other, expect=1, code="invalid")
    assert foreign in message and cell_id in message, message
    cell.refused("volume", "rm", "precious", config=other, expect=4, code="denied")
    since = len(cell.log())
    with tls_socket(cell, "address", "expired") as peer:  # past the client's own check
        send_and_drain(peer, b"x")
    cell.expect_line("expired", since)
    stranger = Cell(cell.bin[:-4], os.path.join(os.path.dirname(cell.folder), "stranger"))
    stranger.up("--disks", "4", "--disk-size", "256MiB")
    stranger.down()
    unknown = order("unknown", cell_id, "operator/x",
                    authority=os.path.join(stranger.folder, "tls", "ca"))
    cell.refused("volume", "hash", "precious", config=unknown, expect=4, code="denied")
    content.check()
    return stranger


def reload(cell, content):
    step("a renewed certificate and a log level are taken at SIGHUP; one that is broken is not")
    node = cell.node()
    tls = os.path.join(cell.folder, "tls")
    cell_id = json.loads(read(os.path.join(cell.folder, "playground.json")))["cell"]

    def served():
        with tls_socket(cell, "address") as peer:
            return peer.getpeercert(binary_form=True)

    def hang_up(line):
        since = len(cell.log())
        cell.run("playground", "kill", cell.folder, "n1", "--signal", "HUP")
        cell.expect_line(line, since)

    old = served()
    cell.tamper("certificate", os.path.join(tls, "ca"), cell_id, "node/n1", os.path.join(tls, "n1"))
    assert served() == old
    hang_up("reloaded certificates and log level")
    new = served()
    assert new != old, "the renewed certificate is not served"
    text = read(node["config"])
    write(node["config"], text + "\n[log]\nlevel = \"error\"\n")
    hang_up("reloaded certificates and log level")
    since = len(cell.log())
    with tls_socket(cell, "address") as peer:
        send_and_drain(peer, random.randbytes(4000))
    cell.run("volume", "ls")
    write(node["config"], text + "\n[log]\nlevel = \"loud\"\n")
    hang_up("what was there stays")
    assert "closed the connection" not in cell.log()[since:], "a warning at level error"
    write(node["config"], text)
    good = read(os.path.join(tls, "n1.crt"))
    write(os.path.join(tls, "n1.crt"), "nonsense")
    hang_up("what was there stays")
    assert served() == new
    write(os.path.join(tls, "n1.crt"), good)
    hang_up("reloaded certificates and log level")
    content.check()


# ---- requests

def wrong_requests(cell, content):
    step("requests past the end, too large, for what is not there or gone")
    size = "8MiB"
    message = cell.refused("volume", "write", "precious", "--offset", size, stdin=b"x" * 512,
                           expect=1, code="invalid")
    assert "larger than the volume" in message, message
    message = cell.refused("volume", "read", "precious", "--offset", size, "--length", "4KiB",
                           expect=1, code="invalid")
    assert "past the end" in message, message
    message = cell.refused("volume", "trim", "precious", "--offset", size, "--length", "4KiB",
                           expect=1, code="invalid")
    assert "behind the end" in message, message
    big = os.path.join(os.path.dirname(cell.folder), "big")
    with open(big, "wb") as file:
        file.truncate(9 * MIB)
    message = cell.refused("volume", "import", "precious", big, expect=1, code="invalid")
    assert "square volume resize" in message, message
    cell.refused("volume", "resize", "precious", "--size", "4MiB", expect=1, code="invalid")
    cell.refused("volume", "create", "../x", "--size", "4MiB", expect=1, code="invalid")
    cell.refused("volume", "create", "x", "--size", "5000", expect=1, code="invalid")
    cell.refused("volume", "show", "nothing", expect=3, code="not_found")
    cell.refused("op", "show", "scrub-0", expect=3, code="not_found")
    cell.refused("volume", "hash", "precious", "--snapshot", "nonsense", expect=1, code="invalid")
    cell.refused("volume", "hash", "precious", "--point", "latest", expect=4, code="unsupported")
    cell.refused("volume", "create", "x", "--size", "64 MB", expect=2, code="usage")
    cell.refused("volume", "crate", "x", expect=2, code="usage")
    raw_requests(cell)
    content.check()


def raw_requests(cell):
    """Past the client's own checks: what the node answers on the wire."""
    cell.run("volume", "create", "victim", "--size", "1MiB")
    expected = {"write past the end": "invalid", "write over the end": "invalid",
                "write at the end of all numbers": "invalid", "write at an odd offset": "invalid",
                "write of damaged bytes": "corrupt", "write of nothing": "invalid",
                "read past the end": "invalid", "read of 2 MiB": "invalid",
                "zero past the end": "invalid",
                "block status past the end": "invalid",
                "read of a volume that was not opened": "invalid",
                "open of another tenant's volume": "not_found",
                "write to a volume that is gone": "not_found",
                "read of a volume that is gone": "not_found",
                "a write of 2 MiB": "unavailable"}
    asker = subprocess.Popen([os.path.join(cell.bin, "square-tamper"), "requests", cell.config,
                              "victim"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    answers = {}
    for line in asker.stdout:
        if line == "ready\n":
            cell.run("volume", "rm", "victim")
            asker.stdin.write("go on\n")
            asker.stdin.flush()
            continue
        answer = json.loads(line)
        answers[answer["asked"]] = answer
    assert asker.wait(timeout=60) == 0
    for asked, code in expected.items():
        assert asked in answers, f"no answer to: {asked}"
        assert answers[asked]["code"] == code, f"{answers[asked]}, not {code}"
        assert answers[asked]["message"], answers[asked]
    assert set(answers) == set(expected), set(answers) - set(expected)


# ---- disks

def restart(cell):
    cell.down()
    return cell.up()


def foreign_disks(cell, content, stranger):
    step("a foreign disk, and one of a newer format: shown, never written")
    disks = os.path.dirname(cell.node()["disks"][0])
    foreign = os.path.join(disks, "foreign.img")
    newer = os.path.join(disks, "newer.img")
    shutil.copy(stranger.node()["disks"][0], foreign)
    shutil.copy(stranger.node()["disks"][1], newer)
    cell.tamper("newer-label", newer)
    before = [digest(open(path, "rb").read(MIB)) for path in (foreign, newer)]
    message = cell.refused("disk", "add", "n1", foreign, expect=1, code="exists")
    assert "label" in message and "square disk wipe" in message, message
    message = cell.refused("disk", "add", "n1", newer, expect=1, code="exists")
    assert "square disk wipe" in message, message
    restart(cell)
    for path, why in ((foreign, "belongs to cell"), (newer, "newer")):
        disk = cell.disk(path)
        assert disk["state"] == "foreign" and why in disk["why"], disk
    report = cell.json("health", expect=7)
    assert {check["code"] for check in report["checks"]} == {"SQ-DISK-FOREIGN"}, report
    assert all(check["action"].startswith("square ") for check in report["checks"]), report
    assert [digest(open(path, "rb").read(MIB)) for path in (foreign, newer)] == before
    content.check()
    # The way to use it: wipe, which asks first, and add.
    cell.refused("disk", "wipe", "n1", foreign, stdin=b"no\n", expect=4, code="denied")


def secrets(cell):
    step("the log names no volume, no snapshot and no key")
    text = cell.log()
    for name in ("precious", "victim"):
        assert name not in text, f"the log names {name}"


def scenario(cell):
    cell.up("--disk-size", "256MiB")
    content = Content(cell)
    bad_configuration(cell)
    garbage(cell, content)
    stranger = certificates(cell, content)
    reload(cell, content)
    wrong_requests(cell, content)
    foreign_disks(cell, content, stranger)
    secrets(cell)
    cell.run("pool", "check")
    content.check()
    print("every wrong input was told, and nothing was lost")


if __name__ == "__main__":
    run_scenario("bad_input", sys.argv[1], scenario)
