# shellcheck shell=bash
# shellcheck disable=SC2154 # dir, here, owner and the like come from the files that source this one
# The lab's folder, its lock, ports and processes. Sourced by tests/lab/lab; `here` is set there.
# Passwords live in files below $dir/secret (mode 0600) and travel through files, environment or standard input only.

export LC_ALL=C.UTF-8
umask 077
# shellcheck disable=SC2034 # read by the files that source this one
servers=(postgres mariadb mysql sshd nginx redis)
marker=runbook-lab

say() { printf 'lab: %s\n' "$*" >&2; }
die() {
    printf 'lab: error: %s\n' "$1" >&2
    exit "${2:-1}"
}

# A checkout has one lab of its own per user, below a folder that the servers' unprivileged user can reach too.
default_dir() {
    local base=${TMPDIR:-/tmp} hash
    if [ "$(id -u)" != 0 ] && [ -n "${XDG_RUNTIME_DIR:-}" ] && [ -w "$XDG_RUNTIME_DIR" ]; then
        base=$XDG_RUNTIME_DIR
    fi
    hash=$(cd "$here/../.." && pwd | sha256sum | cut -c1-8)
    printf '%s/runbook-lab-%s-%s\n' "${base%/}" "$hash" "$(id -u)"
}
dir=$(realpath -m -- "${RUNBOOK_LAB_DIR:-$(default_dir)}")

# PostgreSQL refuses to run as root, so root lends its servers another user; everybody else runs them as oneself.
if [ "$(id -u)" = 0 ]; then
    owner=$(id -un postgres 2>/dev/null || echo nobody)
    as_owner=(setpriv "--reuid=$owner" "--regid=$(id -gn "$owner")" --clear-groups --)
else
    owner=$(id -un)
    as_owner=()
fi

# --- the folder and its lock ----------------------------------------------------------------------------------------

# Takes the lock on an existing lab; it is released when this process ends. False where $dir is no lab.
lock_lab() {
    local held
    while [ -e "$dir/$marker" ]; do
        exec 9>>"$dir/$marker"
        flock 9
        # A `down` may have removed the folder while we waited: then the lock is on a file that nobody sees any more.
        held=$(stat -Lc %i /proc/self/fd/9)
        if [ "$held" = "$(stat -c %i "$dir/$marker" 2>/dev/null)" ]; then
            return 0
        fi
        exec 9>&-
    done
    return 1
}

# Makes the lab's folder where there is none, and takes its lock.
open_lab() {
    # A Unix socket's path holds 107 bytes; the longest of ours is DIR/postgres/.s.PGSQL.65535.lock.
    [ ${#dir} -le 78 ] || die "RUNBOOK_LAB_DIR is too long for a socket's path (${#dir} characters, at most 78): $dir"
    [[ $dir != *[!A-Za-z0-9_./-]* ]] || die "RUNBOOK_LAB_DIR may hold letters, digits, and . _ - / only: $dir"
    while ! lock_lab; do
        # The marker is looked for last: another `up` may have made the folder and its marker since lock_lab looked.
        if [ -n "$(ls -A "$dir" 2>/dev/null)" ] && [ ! -e "$dir/$marker" ]; then
            die "$dir exists and is not a lab's folder: it has no file '$marker'"
        fi
        # A `down` may remove the folder between the two; then the next round makes it anew.
        mkdir -p "$dir" && (: >>"$dir/$marker") 2>/dev/null || [ ! -d "$dir" ] || die "cannot write $dir/$marker"
    done
    if [ "$(id -u)" = 0 ]; then
        chmod 0711 "$dir"
        "${as_owner[@]}" test -x "$dir" || die "user $owner cannot reach $dir; set RUNBOOK_LAB_DIR to a folder that it can"
    fi
    mkdir -p "$dir/secret" "$dir/bin"
    local name
    for name in {postgres,mariadb,mysql}_{admin,app,migrate,scratch} {mariadb,mysql}_root; do
        [ -s "$dir/secret/$name" ] || openssl rand -hex 16 >"$dir/secret/$name"
    done
}

# Prints the password of SERVER_ROLE.
secret() { cat "$dir/secret/$1"; }

# A folder for one server, reachable by the user that runs it.
server_folder() {
    local server=$1 user=$2
    rm -rf "${dir:?}/$server/data.new"
    mkdir -p "$dir/$server"
    install -m 0600 "$dir/tls/server.key" "$dir/tls/server.pem" "$dir/tls/ca.pem" "$dir/$server/"
    [ "$user" = "$(id -un)" ] || chown -R "$user:" "$dir/$server"
}

# A port that is free now, outside of the range that outgoing connections take theirs from.
free_port() {
    /usr/bin/python3 - <<'PYTHON'
import random, socket
while True:
    port = random.randrange(18000, 32000)
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            continue
    print(port)
    break
PYTHON
}

port_of() { cat "$dir/$1/port"; }

tail_of() {
    say "the end of $1:"
    tail -n 20 "$1" | sed 's/^/    /' >&2
}

# --- processes ------------------------------------------------------------------------------------------------------

# Starts a server in a session of its own, so that it survives this script and a Ctrl-C meant for the caller.
start_server() {
    local server=$1
    shift
    setsid "$@" </dev/null >>"$dir/$server.log" 2>&1 9>&- &
    echo $! >"$dir/$server.pid"
    disown
}

# A process of this server: told by its working folder, which every one of the three sets to its data folder, or by the
# command line while it starts. A process id alone may have been given to somebody else.
is_ours() {
    local pid=$1 data=$dir/$2/data
    # sshd works in / and writes its own title over its arguments
    [ "$2" != sshd ] || { tr '\0' ' ' <"/proc/$pid/cmdline" | grep -qF -e " $data/sshd_config " && return 0 || return 1; } 2>/dev/null
    [ "$(readlink "/proc/$pid/cwd" 2>/dev/null)" = "$data" ] && [[ $(cat "/proc/$pid/comm" 2>/dev/null) != *sh ]] && return 0
    tr '\0' '\n' <"/proc/$pid/cmdline" 2>/dev/null | grep -qxF -e "--datadir=$data" -e "$data"
} 2>/dev/null

is_running() {
    local pid
    pid=$(cat "$dir/$1.pid" 2>/dev/null) || return 1
    [ -n "$pid" ] && is_ours "$pid" "$1"
}

pids_of() {
    local entry
    for entry in /proc/[0-9]*; do
        is_ours "${entry#/proc/}" "$1" && echo "${entry#/proc/}"
    done
    return 0
}

# Ends every process of a server, also those that a crash of the first one left behind.
end_server() {
    local server=$1 pids signal tries
    [ -d "$dir/$server/data" ] || return 0
    # Nothing here is kept, so a quick end is a good end; for PostgreSQL INT means "do not wait for the clients".
    for signal in INT TERM KILL; do
        [ "$signal" != INT ] || [ "$server" = postgres ] || continue
        for ((tries = 0; tries < 100; tries++)); do
            pids=$(pids_of "$server")
            [ -n "$pids" ] || break 2
            # shellcheck disable=SC2086 # one word per process
            [ "$tries" != 0 ] || kill -"$signal" $pids 2>/dev/null || true
            sleep 0.1
        done
    done
    # A killed server leaves its own lock files; whether one is stale it tells by a process id, which may be somebody
    # else's by now. That no process works in this folder is known here.
    rm -f "$dir/$server.pid" "$dir/$server/data/postmaster.pid" "$dir/$server"/*.sock* "$dir/$server"/.s.PGSQL.*
}

# Waits until the server answers; false as soon as its process is gone, or after a minute.
wait_for() {
    local server=$1 tries
    for ((tries = 0; tries < 300; tries++)); do
        # In its first moment it is still this script's own child, which has not become the server yet.
        is_running "$server" || { [ "$tries" -lt 25 ] && kill -0 "$(cat "$dir/$server.pid")" 2>/dev/null; } || return 1
        "${server}_answers" && return 0
        sleep 0.2
    done
    say "$server: no answer within a minute"
    return 1
}
