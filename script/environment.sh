# Sourced by the scripts beside it: finds or makes the project's own Python environment.
#
#   environment run    what `floorlog` needs            (requirements.lock)
#   environment dev    the checks and tests besides     (requirements-dev.lock)
#   environment infra  the deployment, its local cloud  (requirements-infra.lock), 700 MB
#   environment checkov  a checker of plans, whose pins suit nobody else (requirements-checkov.lock)
#
# The first two share .venv; each other has a folder of its own, made only when it is asked for.
#
# Sets `root` (the checkout) and `python` (the environment's interpreter). Needs bash, a Python
# of 3.11 or later with its venv module, and the usual POSIX tools; nothing else. Two scripts
# may run at once: one sets up, the other waits. What is asked of the environment is hashed into
# a stamp, so a changed lock or pyproject.toml, or a moved checkout, is installed anew.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)

fail() {
    printf 'floorlog: %s\n' "$*" >&2
    exit 1
}

lock_of() { # kind -> the name of its lock
    [ "$1" = run ] && printf requirements.lock || printf 'requirements-%s.lock' "$1"
}

stamp_of() { # kind -> the name of the file that says this kind is installed
    local lock sum
    lock=$(lock_of "$1")
    [ -r "$root/$lock" ] || fail "$lock is missing from $root: restore it with 'git checkout $lock'"
    sum=$( (printf '%s\n' "$root" && cat "$root/$lock" "$root/pyproject.toml") | cksum)
    printf 'floorlog-%s-%s' "$1" "${sum%% *}"
}

is_set_up() { # directory kind: installed, and its interpreter is still there
    [ -x "$1/bin/python" ] || return 1
    [ -e "$1/$(stamp_of "$2")" ] && return 0
    # What the tests need includes what the command line needs.
    [ "$2" = run ] && [ -e "$1/$(stamp_of dev)" ]
}

can_write() { # directory: it is there or can be made, and takes a file (a read-only mount does not)
    mkdir -p "$1" 2>/dev/null && (: >"$1/.writable.$$") 2>/dev/null && rm -f "$1/.writable.$$"
}

find_environment() { # kind -> the directory to use
    local name=venv beside key elsewhere
    case $1 in infra | checkov) name="venv-$1" ;; esac
    beside="$root/.$name"
    if is_set_up "$beside" "$1" || can_write "$beside"; then
        printf '%s' "$beside"
        return
    fi
    # The checkout cannot be written: the environment goes to the user's cache, one a checkout.
    key=$(printf '%s' "$root" | cksum)
    for elsewhere in "${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}" "${TMPDIR:-/tmp}/floorlog-$(id -u)"; do
        elsewhere="$elsewhere/floorlog/$name-${key%% *}"
        # -O: nobody else may have laid the directory there beforehand (a shared /tmp).
        if (umask 077 && can_write "$elsewhere") && [ -O "$elsewhere" ]; then
            printf '%s' "$elsewhere"
            return
        fi
    done
    fail "cannot write an environment to $root, to the cache directory or to ${TMPDIR:-/tmp}:" \
        "set XDG_CACHE_HOME to a directory you can write"
}

find_python() { # -> an interpreter that fits, with venv; or one line saying what to install
    local name found version without=
    for name in python3.14 python3.13 python3.12 python3.11 python3 python; do
        found=$(command -v "$name") || continue
        # A pyenv shim can be on the PATH without an interpreter behind it: run it to know.
        version=$("$found" -c 'import sys; sys.exit(sys.version_info < (3, 11)) or print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
        if "$found" -c 'import ensurepip, venv' 2>/dev/null; then
            printf '%s' "$found"
            return
        fi
        without=${without:-$version}
    done
    [ -z "$without" ] || fail "Python $without has no venv module: install the package python$without-venv and run this again"
    fail "no Python 3.11 or later is on the PATH: install python3 and python3-venv (3.11 to 3.14) and run this again"
}

step() { # what command...: quiet unless it fails, then says what failed and shows the end of its output
    local what=$1
    shift
    if ! "$@" >>"$log" 2>&1; then
        tail -n 15 "$log" >&2
        fail "$what failed (above; all of it in $log): check the network and free disk space, then run this again"
    fi
}

one_pin() { # lock package: that package's lines of the lock, hashes included
    awk -v start="$2==" 'index($0, start) == 1 {on = 1} on {print} on && !/\\$/ {exit}' "$1"
}

packages() { # interpreter lock: uv with its own certificates, with the machine's (a proxy's), or pip
    "$1" -m uv pip install --python "$1" --require-hashes --compile-bytecode -r "$2" ||
        "$1" -m uv pip install --python "$1" --require-hashes --compile-bytecode -r "$2" --system-certs ||
        "$1" -m pip install --disable-pip-version-check --no-deps --require-hashes -r "$2"
}

install() { # directory lock: everything the lock names, then the project itself, editable, if it can
    local directory=$1 lock=$2 interpreter
    if [ -e "$directory/unfinished" ] || ! "$directory/bin/python" -c 'import pip' 2>/dev/null; then
        interpreter=$(find_python) || exit 1
        # Not --clear: the lock that we hold lies in the directory.
        rm -rf "$directory/bin" "$directory/lib" "$directory/lib64" "$directory/pyvenv.cfg"
        step "making the environment with $interpreter" "$interpreter" -m venv "$directory"
    fi
    : >"$directory/unfinished" # whoever finds it found what a killed set-up left, and begins anew
    if ! "$directory/bin/python" -c 'import uv' 2>/dev/null; then
        one_pin "$lock" uv >"$directory/installer.lock"
        step "fetching the installer" "$directory/bin/python" -m pip install --quiet \
            --disable-pip-version-check --no-deps --require-hashes -r "$directory/installer.lock"
    fi
    # A user without a home to write to gets along without a cache.
    can_write "${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}/uv" || export UV_NO_CACHE=1
    step "installing the packages" packages "$directory/bin/python" "$lock"
    if grep -q '^hatchling==' "$lock"; then
        step "installing floorlog itself" "$directory/bin/python" -m uv pip install --offline \
            --python "$directory/bin/python" --no-deps --no-build-isolation --editable "$root"
    fi
    rm "$directory/unfinished"
}

set_up() { # directory kind
    local directory=$1 kind=$2 lock stamp log="$1/setup.log" began=$SECONDS interpreter
    lock="$root/$(lock_of "$kind")"
    # The lock on the lock file is the kernel's, so it ends with us however we end; Python takes
    # it on our descriptor because flock(1) is not everywhere.
    interpreter=$(find_python) || exit 1
    exec 9>>"$directory/setup.lock"
    "$interpreter" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX)'
    if ! is_set_up "$directory" "$kind"; then
        printf 'floorlog: setting up in %s (once, about half a minute) …\n' "$directory" >&2
        : >"$log"
        stamp=$(stamp_of "$kind")
        rm -f "$directory"/floorlog-*
        install "$directory" "$lock"
        : >"$directory/$stamp"
        printf 'floorlog: set up in %d s\n' $((SECONDS - began)) >&2
    fi
    exec 9>&-
}

environment() { # run|dev|infra|checkov
    local directory
    directory=$(find_environment "$1") || exit 1
    is_set_up "$directory" "$1" || set_up "$directory" "$1"
    # shellcheck disable=SC2034 # for the script that sources this file
    python="$directory/bin/python"
}
