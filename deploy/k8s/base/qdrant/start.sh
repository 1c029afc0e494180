#!/bin/sh
# The first peer founds the cluster, the others join it by name; one that has joined before finds it in its storage.
set -eu
QDRANT__SERVICE__API_KEY="$(cat /run/secrets/qdrant/qdrant-api-key)"
test -n "$QDRANT__SERVICE__API_KEY" # an empty one would let everybody in
export QDRANT__SERVICE__API_KEY
number="${HOSTNAME##*-}"
peer() { echo "http://qdrant-$1.qdrant-peers:6335"; }
if [ "$number" = 0 ]; then
  exec ./entrypoint.sh --uri "$(peer 0)"
fi
exec ./entrypoint.sh --bootstrap "$(peer 0)" --uri "$(peer "$number")"
