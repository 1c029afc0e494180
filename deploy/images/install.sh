#!/bin/sh
# install.sh ARGUMENTS OF PIP INSTALL …: into /opt/venv; what that added lies below /added, ready to be copied as one layer.
set -eu
mark=$(mktemp)
python -m pip --python /opt/venv/bin/python install -q "$@"
rm -rf /added
mkdir /added
cd /
find opt/venv ! -type d -cnewer "$mark" -print0 | tar --null -cf - -T - | tar -xf - -C /added
