# shellcheck shell=bash
# shellcheck disable=SC2154 # dir, here, owner and the like come from the files that source this one
# PostgreSQL 15 or newer, from Debian's binaries; its own cluster in $dir/postgres/data, never one of the system's.

pg_bin=$(find /usr/lib/postgresql -mindepth 2 -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1)

postgres_needs() {
    [ -x "$pg_bin/initdb" ] || die "no PostgreSQL server below /usr/lib/postgresql; ./dev deps lab installs it"
}

postgres_init() {
    local data=$dir/postgres/data.new
    server_folder postgres "$owner"
    secret postgres_admin | "${as_owner[@]}" tee "$dir/postgres/pwfile" >/dev/null
    (cd / && "${as_owner[@]}" "$pg_bin/initdb" -D "$data" -U lab_admin --pwfile="$dir/postgres/pwfile" -E UTF8 \
        --locale=C.UTF-8 --auth=scram-sha-256 --no-sync --no-instructions) || return 1
    rm -f "$dir/postgres/pwfile"
    cat >>"$data/postgresql.conf" <<CONF
listen_addresses = '127.0.0.1'
unix_socket_directories = '$dir/postgres'
ssl = on
ssl_ca_file = '$dir/postgres/ca.pem'
ssl_cert_file = '$dir/postgres/server.pem'
ssl_key_file = '$dir/postgres/server.key'
password_encryption = scram-sha-256
wal_level = logical
max_connections = 200
timezone = 'UTC'
# Speed over safety: the data are made by tests and thrown away, and a crash of the machine ends the lab anyway.
fsync = off
synchronous_commit = off
full_page_writes = off
CONF
    cat >"$data/pg_hba.conf" <<CONF
local   all         all                scram-sha-256
hostssl all         all 127.0.0.1/32   scram-sha-256
hostssl replication all 127.0.0.1/32   scram-sha-256
CONF
    printf '*:*:*:lab_admin:%s\n' "$(secret postgres_admin)" >"$dir/secret/pgpass"
}

postgres_start() {
    start_server postgres "${as_owner[@]}" "$pg_bin/postgres" -D "$dir/postgres/data" -p "$(port_of postgres)"
}

postgres_sql() {
    env -u PGPASSWORD -u PGSERVICE PGPASSFILE="$dir/secret/pgpass" PGCONNECT_TIMEOUT=3 psql -XAtq -v ON_ERROR_STOP=1 -d \
        "host=127.0.0.1 port=$(port_of postgres) user=lab_admin dbname=$1 sslmode=verify-full sslrootcert=$dir/tls/ca.pem"
}

# True when the server answers and holds the lab's roles and databases, which the first answer makes.
postgres_answers() {
    local ready
    ready=$(postgres_sql postgres <<<"select count(*) from pg_database where datname = 'scratch'" 2>/dev/null) || return 1
    [ "$ready" = 0 ] || return 0
    postgres_sql postgres >>"$dir/postgres.init.log" 2>&1 <<SQL && postgres_sql reline >>"$dir/postgres.init.log" 2>&1 <<SQL2 &&
create role reline_migrate login createdb password '$(secret postgres_migrate)';
create role reline_app login password '$(secret postgres_app)';
create role lab_scratch login superuser password '$(secret postgres_scratch)';
create database reline owner reline_migrate template template0;
SQL
alter default privileges for role reline_migrate grant select, insert, update, delete on tables to reline_app;
alter default privileges for role reline_migrate grant usage, select on sequences to reline_app;
SQL2
        postgres_sql postgres >>"$dir/postgres.init.log" 2>&1 <<<"create database scratch owner lab_scratch template template0"
}

postgres_urls() {
    local role user name
    while read -r role user name; do
        printf '%s postgres://%s:%s@127.0.0.1:%s/%s?sslmode=verify-full&sslrootcert=%s\n' "$role" "$user" \
            "$(secret "postgres_${role,,}")" "$(port_of postgres)" "$name" "$dir/tls/ca.pem"
    done <<ROLES
ADMIN lab_admin postgres
APP reline_app reline
MIGRATE reline_migrate reline
SCRATCH lab_scratch scratch
ROLES
}
