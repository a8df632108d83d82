#!/usr/bin/env bash
# Builds MinkowskiEngine for the CPU and installs it into the environment that is first on PATH.
# The first time takes 3 to 15 minutes; then pip's cache has the wheel.
#   build_minkowski.sh LOG
set -euo pipefail
here=$(dirname "$0") log=$1
import='import torch, MinkowskiEngineBackend._C'
build() { # pip's further arguments
    # Without --blas its setup.py calls numpy.distutils, which is no more. CFLAGS replace Python's
    # own: no warnings and no debug symbols (a third of the time), but like those no assertions.
    env -u CUDA_HOME CFLAGS="-w -g0 -DNDEBUG" MAX_JOBS="$(nproc)" \
        pip install --verbose --no-deps --no-build-isolation --use-pep517 --constraint "$here/minkowski.txt" \
        --config-settings=--global-option=--blas=openblas --config-settings=--global-option=--cpu_only \
        "$@" MinkowskiEngine >"$log" 2>&1
}
fail() {
    tail -n 20 "$log" >&2
    echo "$1; the whole log is $log" >&2
    exit 1
}
"$here/install_debian_packages.sh" "$here/minkowski-debian-packages.txt" MinkowskiEngine
pip install --quiet --constraint "$here/minkowski.txt" ninja
echo "MinkowskiEngine: 3 to 15 minutes where pip has no wheel of it yet; progress is in $log"
build || fail "MinkowskiEngine could not be built"
# What was installed or cached may be of another torch, whose C++ symbols differ.
python -c "$import" 2>/dev/null || build --no-cache-dir --force-reinstall || fail "MinkowskiEngine could not be built"
python -c "$import" 2>>"$log" || fail "MinkowskiEngine was built but cannot be imported"
