"""OpenStack Swift with its S3 API on one port of this machine, as one process: the real S3 server of the tests.

    python swift_server.py FOLDER PORT ACCESS_KEY SECRET_KEY [ADDRESS]

Runs in the environment that requirements/servers.txt describes (``make .venv/.servers``), without anything else of
ours: eventlet patches the whole process. The access key is ``account:user``. What was stored survives a restart.
"""

# ruff: noqa: E402
import sys
from pathlib import Path

import eventlet

eventlet.monkey_patch()

import logging

import swift.common.utils
from eventlet import wsgi

FOLDER, PORT, ACCESS_KEY, SECRET_KEY = Path(sys.argv[1]).resolve(), int(sys.argv[2]), sys.argv[3], sys.argv[4]
ADDRESS = sys.argv[5] if len(sys.argv) > 5 else "127.0.0.1"  # another in a container
CONFIGURATION = FOLDER / "etc"
DEVICES = FOLDER / "devices"
FILTERS = (
    "catch_errors gatekeeper healthcheck listing_formats bulk s3api tempauth copy slo dlo versioned_writes symlink"
)


def write(name: str, *lines: str) -> Path:
    path = CONFIGURATION / name
    path.write_text("\n".join(lines) + "\n")
    return path


def read_configuration() -> None:
    """Swift reads its folder when it is imported further: first the settings, then the modules that use them."""
    write(
        "swift.conf",
        "[swift-hash]",
        "swift_hash_path_prefix = lookalike",
        "swift_hash_path_suffix = tests",
        "[storage-policy:0]",
        "name = only",
        "default = yes",
    )
    swift.common.utils.set_swift_dir(str(CONFIGURATION))
    swift.common.utils.validate_hash_conf()
    from swift.common import storage_policy

    storage_policy.reload_storage_policies()


def backend(name: str) -> tuple[object, Path]:
    """The socket and configuration of the account, container or object server. Its port is kept: rings name it."""
    from swift.common.ring import RingBuilder

    kept = CONFIGURATION / f"{name}.port"
    socket = eventlet.listen(("127.0.0.1", int(kept.read_text()) if kept.exists() else 0))
    port = socket.getsockname()[1]
    kept.write_text(str(port))
    ring = RingBuilder(2, 1, 0)
    place = {"id": 0, "region": 1, "zone": 1, "weight": 1, "device": "disk", "meta": ""}
    address = {"ip": "127.0.0.1", "port": port, "replication_ip": "127.0.0.1", "replication_port": port}
    ring.add_dev({**place, **address})
    ring.rebalance()
    ring.get_ring().save(str(CONFIGURATION / f"{name}.ring.gz"))
    configuration = write(
        f"{name}.conf",
        "[DEFAULT]",
        f"swift_dir = {CONFIGURATION}",
        f"devices = {DEVICES}",
        "mount_check = false",
        "disable_fallocate = true",
        "log_level = ERROR",
        "[pipeline:main]",
        f"pipeline = {name}-server",
        f"[app:{name}-server]",
        f"use = egg:swift#{name}",
    )
    return socket, configuration


def proxy() -> Path:
    """The configuration of the server that clients speak to."""
    account, user = ACCESS_KEY.split(":")
    options = {
        "s3api": ["location = us-east-1"],
        "tempauth": [f"user_{account}_{user} = {SECRET_KEY} .admin .reseller_admin"],
        "versioned_writes": ["allow_versioned_writes = true", "allow_object_versioning = true"],
    }
    lines = ["[DEFAULT]", f"swift_dir = {CONFIGURATION}", "log_level = ERROR"]
    lines += ["[pipeline:main]", f"pipeline = {FILTERS} proxy-server"]
    lines += ["[app:proxy-server]", "use = egg:swift#proxy", "account_autocreate = true"]
    for name in FILTERS.split():
        lines += [f"[filter:{name}]", f"use = egg:swift#{name}", *options.get(name, [])]
    return write("proxy.conf", *lines)


def main() -> None:
    CONFIGURATION.mkdir(parents=True, exist_ok=True)
    (DEVICES / "disk").mkdir(parents=True, exist_ok=True)
    read_configuration()
    from swift.common.wsgi import SwiftHttpProtocol, loadapp

    silent = logging.getLogger("swift-wsgi")
    silent.addHandler(logging.NullHandler())
    silent.propagate = False
    servers = [backend(name) for name in ("account", "container", "object")]
    servers.append((eventlet.listen((ADDRESS, PORT), backlog=512), proxy()))
    for socket, configuration in servers:
        app = loadapp(str(configuration))
        eventlet.spawn(wsgi.server, socket, app, silent, protocol=SwiftHttpProtocol, max_size=256)
    print("ready", flush=True)  # noqa: T201 for whoever started this process
    while True:
        eventlet.sleep(3600)


if __name__ == "__main__":
    main()
