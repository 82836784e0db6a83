#!/usr/bin/env bash
# What `./dev demo unification` shows: a live application moves from PostgreSQL to MySQL in one maintenance window.
# Owns a lab (unless one runs already) and a temporary folder with the application and the journal; both are gone at the end.
#   demo.sh [--keep] [OPTION...]
#   --keep    leave the lab, the application and the journal as they are at the end, and say where
#   OPTION    handed to `runbook exec`, for example --output plain
set -euo pipefail
here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
root=$(cd "$here/../.." && pwd)
runbook=${RUNBOOK_BIN:-$root/build/release/runbook}
keep="" ours="" work="" options=()

die() {
    printf 'demo: error: %s\n' "$1" >&2
    exit "${2:-1}"
}
fetch() { /usr/bin/python3 -c 'import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=10).read().decode().rstrip())' "$1"; }
title() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
[ -t 1 ] || title() { printf '\n== %s\n' "$*"; }

for argument in "$@"; do
    case $argument in
    --keep) keep=1 ;;
    *) options+=("$argument") ;;
    esac
done
[ -x "$runbook" ] || die "no $runbook: ./dev build makes it"

finish() {
    local status=$?
    trap - EXIT
    if [ -n "$keep" ] && [ -n "$work" ]; then
        printf '\nkept: the application and the journal in %s, the lab in %s (tests/lab/lab down removes it)\n' "$work" "$RUNBOOK_LAB_DIR"
        exit $status
    fi
    [ -z "$work" ] || { "$work/reline/bin/app" stop 2>/dev/null || true; rm -rf -- "$work"; }
    [ -z "$ours" ] || "$here/lab" down || true
    exit $status
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# --- what a migration finds -----------------------------------------------------------------------------------------

title "Three private servers, an application on PostgreSQL, an empty MySQL"
"$here/lab" status >/dev/null 2>&1 || ours=1
"$here/lab" up
eval "$("$here/lab" env)"
work=$(mktemp -d)
app=$work/reline
# The lab's own tools take a URL from a variable; runbook takes it without its password, and the password from a variable.
bare() { sed -E 's|^([a-z]+://[^:/@]+):[^@/]*@|\1@|' <<<"$1"; }
password() { sed -E 's|^[a-z]+://[^:/@]+:([^@/]*)@.*|\1|' <<<"$1"; }
between() {
    RUNBOOK_SOURCE_PASSWORD=$(password "$2") RUNBOOK_TARGET_PASSWORD=$(password "$3") "$runbook" "$1" "$(bare "$2")" "$(bare "$3")"
}
fill() {
    "$here/reline.py" empty && "$here/reline.py" load --variant "$1"
    "$here/reline.py" --url-from RUNBOOK_LAB_MYSQL_MIGRATE empty
    "$app/bin/app" stop && "$app/bin/app" start
}
"$here/deploy.py" "$app" --to RUNBOOK_LAB_MYSQL_APP
fill casefold
port=$(sed -n 's/^PORT=//p' "$app/config/app.env")
here_is="http://127.0.0.1:$port"
fetch "$here_is/health"

# --- the run: parameters through the environment, passwords never on a command line --------------------------------------

RUNBOOK_SOURCE=$RUNBOOK_LAB_PG_MIGRATE RUNBOOK_FENCE=$RUNBOOK_LAB_PG_MIGRATE RUNBOOK_SCRATCH=$RUNBOOK_LAB_PG_SCRATCH
RUNBOOK_TARGET=$RUNBOOK_LAB_MYSQL_MIGRATE RUNBOOK_RUNTIME=$RUNBOOK_LAB_MYSQL_APP
RUNBOOK_PROBE_KEY=$(sed -n 's/^PROBE_KEY=//p' "$app/config/app.env")
export RUNBOOK_SOURCE RUNBOOK_FENCE RUNBOOK_SCRATCH RUNBOOK_TARGET RUNBOOK_RUNTIME RUNBOOK_PROBE_KEY
export XDG_STATE_HOME=$work/state
migrate() {
    (cd "$work" && "$runbook" exec "$root/playbooks/mysql8_unification.lua" --app "$here_is/" --app-dir "$app/" \
        --approve "go live" "${options[@]}")
}

title "First with keys that only PostgreSQL tells apart: the run has to refuse before a row is written"
status=0
migrate || status=$?
[ $status = 1 ] || [ $status = 2 ] || die "keys that collide under utf8mb4_unicode_ci were not refused (exit $status)"
tables=$("$here/databases.py" RUNBOOK_LAB_MYSQL_MIGRATE "select count(*) from information_schema.tables where table_schema = database()")
[ "$tables" = 0 ] || die "the refused run left $tables tables in MySQL"
fetch "$here_is/health"
echo "refused with exit $status; MySQL holds no table, the application runs on PostgreSQL as before"

title "Now the real data: 250,000 rows from maintenance on to maintenance off"
fill plain
migrate || die "the migration failed (exit $?)"
fetch "$here_is/health"
fetch "$here_is/metrics" | grep '^database_pool'
"$runbook" runs

# --- somebody else's schema ------------------------------------------------------------------------------------------------

pagila=${RUNBOOK_PAGILA:-$root/../shared/data/pagila.sql}
if [ -f "$pagila" ]; then
    title "Pagila to MySQL and to MariaDB, without a playbook"
    "$here/databases.py" RUNBOOK_LAB_PG_MIGRATE "drop database if exists rb_pagila with (force)"
    "$here/databases.py" RUNBOOK_LAB_PG_MIGRATE "create database rb_pagila template template0"
    RUNBOOK_LAB_PAGILA=${RUNBOOK_LAB_PG_MIGRATE/\/reline\?//rb_pagila?}
    export RUNBOOK_LAB_PAGILA
    "$here/reline.py" --url-from RUNBOOK_LAB_PAGILA pagila "$pagila"
    for server in MYSQL MARIADB; do
        url=RUNBOOK_LAB_${server}_MIGRATE
        "$here/databases.py" "$url" "drop database if exists rb_pagila"
        "$here/databases.py" "$url" "create database rb_pagila"
        echo "-- runbook copy to $server"
        between copy "$RUNBOOK_LAB_PAGILA" "${!url/\/reline\?//rb_pagila?}" >"$work/copy.txt" || {
            cat "$work/copy.txt"
            die "copy to $server failed"
        }
        grep -m 2 ': omitted:' "$work/copy.txt" || true
        echo "… $(grep -c ': omitted:' "$work/copy.txt" || true) objects named that have no counterpart there"
        tail -n 1 "$work/copy.txt"
        echo "-- runbook verify against $server"
        between verify "$RUNBOOK_LAB_PAGILA" "${!url/\/reline\?//rb_pagila?}" || die "verify against $server failed"
    done
fi
title "Done"
