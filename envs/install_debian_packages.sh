#!/usr/bin/env bash
# Installs the Debian packages of a list (a file, one a line): as root; otherwise prints the command.
#   install_debian_packages.sh LIST WHO_NEEDS_THEM
set -euo pipefail
command -v dpkg-query >/dev/null || exit 0 # not Debian: the import check after this says more
missing=()
while read -r package; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done <"$1"
((${#missing[@]})) || exit 0
if [ "$(id -u)" -ne 0 ]; then
    echo "$2 needs Debian packages that are not installed. Run this, then make again:" >&2
    echo "  sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}"
