#!/usr/bin/env bash
# Installs real Dynamo 1.6.1 from the package index into a virtual environment that later runs use again.
#
#   install.sh runtime     a worker and a client (about 280 MB)
#   install.sh frontend    the OpenAI frontend as well (about 700 MB in all)
#   install.sh nats        another client of NATS (1 MB)
#   install.sh --where     prints the folder
#
# The folder is ${STATOR_INTEROP_VENV:-${XDG_CACHE_HOME:-$HOME/.cache}/stator/interop-1.6.1}. What is there already is
# not installed again. Runs at the same time wait for each other. Needs python3 (3.10 or newer, PYTHON names another)
# with its module venv.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
venv=${STATOR_INTEROP_VENV:-${XDG_CACHE_HOME:-$HOME/.cache}/stator/interop-1.6.1}
log=$venv.log

die() {
    echo "interop: $*" >&2
    exit 1
}

# With the end of what the failed command wrote.
die_with_log() {
    tail -n 15 "$log" >&2
    die "$*; more in $log"
}

# A part is there if it was installed to the end, from the same list and for a Python that still runs.
is_installed() {
    local part=$1
    [[ -x $venv/bin/python ]] && "$venv/bin/python" -c '' 2>/dev/null &&
        cmp -s <(wanted "$part") "$venv/installed-$part"
}

wanted() {
    case $1 in
        runtime) cat "$here/runtime.txt" ;;
        frontend) cat "$here/runtime.txt" "$here/frontend.txt" "$here/frontend-alone.txt" ;;
        nats) cat "$here/nats.txt" ;;
    esac
}

make_venv() {
    [[ -x $venv/bin/python ]] && "$venv/bin/python" -m pip --version &>/dev/null && return
    rm -rf "$venv"
    "${PYTHON:-python3}" -m venv "$venv" &>"$log" ||
        die_with_log "cannot make a virtual environment in $venv (Debian: apt-get install python3-venv)"
}

# pip_install <what, for people> <argument of pip>...
pip_install() {
    local what=$1
    shift
    "$venv/bin/python" -m pip install --quiet --no-input --disable-pip-version-check --retries 5 "$@" &>"$log" ||
        die_with_log "cannot install $what from the package index"
}

install_runtime() {
    pip_install "ai-dynamo-runtime 1.6.1" -r "$here/runtime.txt"
    "$venv/bin/python" -c 'import dynamo.runtime' &>"$log" || die_with_log "the installed runtime cannot be imported"
}

install_frontend() {
    is_installed runtime || install_part runtime
    pip_install "what the frontend needs" -r "$here/runtime.txt" -r "$here/frontend.txt"
    pip_install "ai-dynamo 1.6.1" --no-deps -r "$here/frontend-alone.txt"
    "$venv/bin/python" -m dynamo.frontend --help &>"$log" || die_with_log "the installed frontend does not start"
}

install_nats() {
    pip_install "nats-py" -r "$here/nats.txt"
    "$venv/bin/python" -c 'import nats' &>"$log" || die_with_log "the installed nats-py cannot be imported"
}

install_part() {
    local part=$1 began=$SECONDS
    "install_$part"
    wanted "$part" >"$venv/installed-$part.new"
    mv "$venv/installed-$part.new" "$venv/installed-$part"
    echo "interop: installed the $part in $((SECONDS - began)) s; $venv has $(du -sm "$venv" | cut -f1) MB"
}

main() {
    case ${1:-} in
        --where) echo "$venv" && return ;;
        runtime | frontend | nats) ;;
        *) die "usage: install.sh runtime|frontend|nats|--where" ;;
    esac
    mkdir -p "$(dirname "$venv")"
    exec 9>"$venv.lock"
    flock 9
    if is_installed "$1"; then
        echo "interop: the $1 is in $venv"
        return
    fi
    make_venv
    install_part "$1"
}

main "$@"
