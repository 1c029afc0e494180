#!/bin/sh
# try.sh [IMAGE]: the folder /images becomes the gallery GALLERY ("images" if not set), the workers embed and index it,
# and it is searched for what looks like IMAGE, which is a path in that folder; without one, the first image there.
set -eu
gallery=${GALLERY:-images}
lookalike ingest "$gallery" /images
params=$(lookalike config --json | python -c '
import json, sys
said = {one["name"]: one["value"] for one in json.load(sys.stdin)}
print(json.dumps({"model": said["embedder.default_model"], "backends": said["build.backends"]}))')
lookalike jobs submit reembed "$gallery" --params "$params" --wait
image=${1:-$(find /images -type f \( -iname '*.jp*g' -o -iname '*.png' -o -iname '*.webp' \) | sort | head -n 1)}
case $image in /* | http*) ;; *) image=/images/$image ;; esac
echo "what looks like $image:"
lookalike search "$gallery" "$image"
