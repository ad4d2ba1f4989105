"""A playground for scenarios: commands, metrics, log, writers, and the frame around a run."""

import json
import os
import random
import shutil
import subprocess
import tempfile
import time
import urllib.request


class Cell:
    def __init__(self, build, folder):
        self.bin = os.path.join(build, "bin")
        self.folder = folder  # its own; scratch files go beside it
        self.config = os.path.join(folder, "client.toml")
        self.writes = os.path.join(os.path.dirname(folder), "writes.log")

    def run(self, *words, stdin=None, expect=0, config=None):
        """The finished process of `square WORDS`; `expect`: its exit status, None for any."""
        done = subprocess.run([os.path.join(self.bin, "square"), *words], input=stdin,
                              capture_output=True, timeout=300, check=False,
                              env=dict(os.environ, SQUARE_CONFIG=config or self.config))
        if expect is not None and done.returncode != expect:
            raise AssertionError(f"square {' '.join(words)}: exit {done.returncode}, not {expect}\n"
                                 f"{done.stdout.decode()[-2000:]}{done.stderr.decode()}")
        return done

    def json(self, *words, expect=0):
        return json.loads(self.run("--json", *words, expect=expect).stdout)

    def refused(self, *words, expect, code, stdin=None, config=None):
        """The message and hint of a command that must fail."""
        done = self.run("--json", *words, stdin=stdin, expect=expect, config=config)
        assert not done.stdout, f"square {' '.join(words)} wrote to stdout: {done.stdout[:200]}"
        errors = done.stderr.decode()  # behind a question that was asked on the same line, perhaps
        error = json.loads(errors[errors.rindex('{"error"'):])["error"]
        assert error["code"] == code, f"{error}, not {code}"
        assert error["message"], error
        return error["message"] + "\n" + error["hint"]

    def tamper(self, *words):
        done = subprocess.run([os.path.join(self.bin, "square-tamper"), *words],
                              capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr.decode()

    def node(self):
        return self.json("playground", "ps", self.folder)[0]

    def up(self, *words):
        return self.json("playground", "up", self.folder, *words)[0]

    def down(self):
        self.run("playground", "down", self.folder)

    def kill(self):
        self.run("playground", "kill", self.folder, "n1")

    def start(self):
        self.run("playground", "start", self.folder, "n1")

    def http(self, path):
        with urllib.request.urlopen(f"http://{self.node()['http']}{path}", timeout=10) as reply:
            return reply.read().decode()

    def metrics(self):
        return {name: float(value) for name, value in
                (line.rsplit(" ", 1) for line in self.http("/metrics").splitlines()
                 if not line.startswith("#"))}

    def log(self):
        with open(os.path.join(self.folder, "n1", "squared.log"), encoding="utf-8") as file:
            return file.read()

    def expect_line(self, text, since=0):
        wait_until(lambda: text in self.log()[since:], f"the log has no line with: {text}")

    def disk(self, path):
        """What `disk ls` says of the disk at that path."""
        found = [disk for disk in self.json("disk", "ls") if disk["path"] == path]
        assert len(found) == 1, f"{path} is listed {len(found)} times"
        return found[0]

    def load(self, command, *words, volume="data"):
        return [os.path.join(self.bin, "square-load"), command, "--config", self.config,
                "--volume", volume, "--log", self.writes, *words]

    def acknowledged(self):
        """Acknowledged writes in the log of square-load, whose entries have 24 bytes."""
        with open(self.writes, "rb") as file:
            data = file.read()
        return sum(1 for at in range(0, len(data) - len(data) % 24, 24) if data[at] == 2)

    def verify(self, volume="data"):
        done = subprocess.run(self.load("verify", volume=volume), capture_output=True, timeout=300,
                              check=False)
        assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
        return json.loads(done.stdout)


def wait_until(condition, otherwise, patience_s=30):
    end = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < end, otherwise
        time.sleep(0.05)


def run_scenario(name, build, scenario):
    """scenario(cell): in tmpfs where there is one ($SQUARE_SCENARIO_FOLDER says otherwise). What
    there is goes away, but with $SQUARE_KEEP."""
    seed = int(os.environ.get("SQUARE_SEED", time.time_ns() % 1_000_000))
    print(f"SQUARE_SEED={seed}", flush=True)
    random.seed(seed)
    shared = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    shared = os.environ.get("SQUARE_SCENARIO_FOLDER", shared)
    folder = tempfile.mkdtemp(prefix=f"square_{name}_", dir=shared)
    cell = Cell(build, os.path.join(folder, "cell"))
    try:
        scenario(cell)
    except BaseException:
        print(cell.log()[-4000:] if os.path.exists(os.path.join(cell.folder, "n1")) else "")
        raise
    finally:
        cell.run("playground", "down", cell.folder, expect=None)
        if os.environ.get("SQUARE_KEEP"):
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
