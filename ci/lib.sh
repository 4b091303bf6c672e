# Sourced by the scripts in ci/, from the root of the repository: makes $VENV and installs into it.

PYTHON=${PYTHON:-python3}
VENV=${VENV:-.venv}
VENV_BIN=$VENV/bin
if [ "$OSTYPE" = msys ]; then VENV_BIN=$VENV/Scripts; fi  # Git Bash on Windows
VENV_PYTHON=$VENV_BIN/python

die() {
    printf '%s\n' "$@" >&2
    exit 1
}

check_python() {
    command -v "$PYTHON" >/dev/null ||
        die "There is no $PYTHON here: install Python 3.11 or newer, or name one as PYTHON=/path/to/python3 $0."
    "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        die "$PYTHON is $("$PYTHON" --version 2>&1), xpmlp needs 3.11 or newer: name one as PYTHON=/path/to/python3.11 $0."
    "$PYTHON" -c 'import venv, ensurepip' 2>/dev/null ||
        die "$PYTHON comes without the venv module: install it (Debian, Ubuntu: apt install python3-venv) and try again."
}

# check_disk GIGABYTES: what .venv takes already counts as free
check_disk() {
    free=$(df -Pk . | awk 'NR == 2 { print $4 }')
    taken=0
    if [ -d "$VENV" ]; then taken=$(du -sk "$VENV" | cut -f1); fi
    [ $((free + taken)) -ge $(($1 * 1000000)) ] ||
        die "The disk of $PWD has $((free / 1000)) MB free, this needs about $1 GB: free some space and try again."
}

# make_venv: a new one where there is none, a half-made one, or one of another Python version
make_venv() {
    version='import sys, pip; print(sys.version)'
    if [ "$("$VENV_PYTHON" -c "$version" 2>/dev/null)" != "$("$PYTHON" -c 'import sys; print(sys.version)')" ]; then
        "$PYTHON" -m venv --clear "$VENV" || die "Could not make $PWD/$VENV: the lines above say why."
    fi
}

# install REQUIREMENT...: skipped when the last install here was of the same things, or began with
# them, from the same sources: of an editable one those that are compiled, else all of them.
# editable_mode: the clone stands on Python's path, where its package is found before a folder that
# only has its name, as the clone itself beside a script.
install() {
    kinds=hcp
    if [ "$1" = -e ]; then kinds=hc; fi
    sources=$(find xpmlp -name "*.[$kinds]*" ! -name '*.pyc' | sort)
    stamp="$PWD $(cat pyproject.toml setup.py $sources | cksum) $*"
    case "$(cat $VENV/installed 2>/dev/null) " in "$stamp "*) return ;; esac
    echo "Installing $* into $VENV (log: $VENV/pip.log) ..."
    "$VENV_PYTHON" -m pip install --disable-pip-version-check --progress-bar off \
        --config-settings editable_mode=compat "$@" >$VENV/pip.log 2>&1 || explain_pip
    echo "$stamp" >$VENV/installed
}

explain_pip() {
    tail -n 15 $VENV/pip.log >&2
    if grep -q 'No space left' $VENV/pip.log; then
        die "The disk filled up while pip was installing: free some space and try again."
    elif grep -qE 'NewConnection|ConnectTimeout|ReadTimeout|NameResolution|ProxyError|SSLError' $VENV/pip.log; then
        die "pip could not reach the package index: check the network, the proxy or PIP_INDEX_URL, and try again."
    fi
    die "pip could not install the requirements: the lines above are the end of $VENV/pip.log."
}
