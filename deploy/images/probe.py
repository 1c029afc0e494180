"""Ends with 0 where an address of this container answers 200, else with 1: ``probe PORT PATH``. Images hold no curl."""

import http.client
import sys

TIMEOUT_S = 4.0


def status_of(port: int, path: str) -> int:
    """The status of a GET. Raises OSError or HTTPException where nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


if __name__ == "__main__":
    try:
        status = status_of(int(sys.argv[1]), sys.argv[2])
    except (OSError, http.client.HTTPException) as error:
        sys.exit(f"{sys.argv[1:]}: {type(error).__name__}")
    sys.exit(0 if status == http.client.OK else f"{sys.argv[1:]}: status {status}")
