"""What is in the programs, by what cargo says of the lock file: what builds and tests them is not in them."""

import json
import re
import subprocess

TARGETS = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"]
# The search of the machine is a test.
NO_PROGRAM = ["--exclude", "clockgate-model"]
FROM_THE_LOCK = ["--locked", "--offline"]
# As `cargo tree` has it, with the depth before it.
LINE = re.compile(r"(\d+)(\S+) v(\S+)")


def said(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, encoding="utf-8").stdout


def edges():
    """What each package links, by name and version: on all targets, with the features of a build; `cargo metadata` has more of them."""
    links = {}
    for target in TARGETS:
        tree = said("cargo", "tree", *FROM_THE_LOCK, "--workspace", *NO_PROGRAM, "--target", target,
                    "--edges", "normal,no-proc-macro", "--prefix", "depth", "--format", "{p}")
        above = []
        for depth, name, version in LINE.findall(tree):
            package = (name, version)
            links.setdefault(package, set())
            del above[int(depth):]
            if above:
                links[above[-1]].add(package)
            above.append(package)
    return links


def linked():
    """All packages that are linked into a member of the workspace, by name and version; `links` has those of what each one links."""
    # Without a filter it wants the sources of every system's crates, which a build here has not downloaded.
    platforms = [word for target in TARGETS for word in ("--filter-platform", target)]
    packages = json.loads(said("cargo", "metadata", *FROM_THE_LOCK, "--format-version", "1", *platforms))["packages"]
    known = {(package["name"], package["version"]): package for package in packages}
    return [known[package] | {"links": sorted(links)} for package, links in sorted(edges().items())]
