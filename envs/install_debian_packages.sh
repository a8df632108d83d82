#!/usr/bin/env bash
# Installs the Debian packages that Open3D's import needs: as root; otherwise prints the command.
set -euo pipefail
command -v dpkg-query >/dev/null || exit 0 # not Debian: the import check after this says more
missing=()
while read -r package; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done <"$(dirname "$0")/debian-packages.txt"
((${#missing[@]})) || exit 0
if [ "$(id -u)" -ne 0 ]; then
    echo "Open3D needs Debian packages that are not installed. Run this, then make again:" >&2
    echo "  sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}"
