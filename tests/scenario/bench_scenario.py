#!/usr/bin/env python3
"""Every run of square-bench once, with a sliver of its work: that it runs, not what it costs."""
import json
import subprocess
import sys


def main():
    bench = sys.argv[1] + "/bin/square-bench"
    names = [line.split()[0] for line in
             subprocess.run([bench, "list"], check=True, capture_output=True, text=True).stdout.splitlines()]
    assert len(names) >= 16, names
    done = subprocess.run([bench, "run", *names, "--small", "--json"], capture_output=True, text=True,
                          timeout=600)
    assert done.returncode == 0, done.stderr
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    assert [report["run"] for report in reports] == names
    for report in reports:
        assert report["numbers"], report["run"]
        for number in report["numbers"]:
            assert number["name"] and number["value"] >= 0, number

    wrong = subprocess.run([bench, "run", "no-such-run"], capture_output=True, text=True)
    assert wrong.returncode == 2 and "no-such-run" in wrong.stderr, wrong
    print(f"{len(names)} runs")


if __name__ == "__main__":
    main()
