# shellcheck shell=bash
# shellcheck disable=SC2154 # dir, here, owner and the like come from the files that source this one
# MariaDB from this system, and Oracle MySQL from Debian unstable: Debian 12 has no package of it, so its server lives in a
# root folder of its own below the cache and runs through that root's own loader and libraries.

sid_root=${XDG_CACHE_HOME:-$HOME/.cache}/runbook/sid-mysql

# --- Oracle MySQL's root ----------------------------------------------------------------------------------------------

mysql_needs() {
    [ ! -x "$sid_root/usr/sbin/mysqld" ] || return 0
    local tool new sudo=()
    tool=$(PATH=$PATH:/usr/sbin command -v debootstrap) || die "debootstrap is missing; ./dev deps lab installs it"
    mkdir -p "${sid_root%/*}"
    exec 8>>"${sid_root%/*}/sid-mysql.lock"
    flock 8
    [ ! -x "$sid_root/usr/sbin/mysqld" ] || return 0
    if [ "$(id -u)" != 0 ]; then
        sudo=(sudo -n)
        "${sudo[@]}" true 2>/dev/null ||
            die "unpacking Oracle MySQL needs root once (debootstrap): run 'sudo -v' first, or name servers: lab up postgres mariadb"
    fi
    say "mysql: unpacking it from Debian unstable, once; half a minute"
    new=$sid_root.new.$$
    "${sudo[@]}" rm -rf "$sid_root".new.*
    if ! (umask 022 && "${sudo[@]}" "$tool" --variant=minbase --include=mysql-server-core,mysql-client-core sid "$new") \
        >"${sid_root%/*}/sid-mysql.log" 2>&1 8>&- 9>&-; then
        tail_of "${sid_root%/*}/sid-mysql.log"
        "${sudo[@]}" rm -rf "$new"
        die "debootstrap could not unpack Oracle MySQL"
    fi
    "${sudo[@]}" rm -rf "$sid_root"
    "${sudo[@]}" mv "$new" "$sid_root"
    exec 8>&-
}

# Fills `sid_run` with the loader and its options; the program of that root follows.
sid_loader() {
    local loader
    loader=$(find "$sid_root/usr/lib" -mindepth 2 -maxdepth 2 -name 'ld-linux-*.so.*' | head -n 1)
    sid_run=("$loader" --library-path "${loader%/*}")
}

# Small programs in $dir/bin that run the root's own clients.
sid_wrappers() {
    local name
    sid_loader
    for name in mysql mysqldump mysqlbinlog; do
        printf '#!/bin/sh\nexec %q %q %q %q "$@"\n' "${sid_run[@]}" "$sid_root/usr/bin/$name" >"$dir/bin/$name.new"
        chmod 0755 "$dir/bin/$name.new"
        mv "$dir/bin/$name.new" "$dir/bin/$name"
    done
}

mysql_init() {
    server_folder mysql "$(id -un)"
    sid_wrappers
    # At initialisation the server runs this file as its own root: no moment at which an account has no password.
    accounts mysql caching_sha2_password >"$dir/secret/mysql.sql"
    printf 'alter user root@localhost identified by %s;\n' "'$(secret mysql_root)'" >>"$dir/secret/mysql.sql"
    mysqld mysql data.new --initialize-insecure --init-file="$dir/secret/mysql.sql" --skip-log-bin
}

mysql_start() {
    mysqld_options mysql data
    sid_loader
    start_server mysql "${sid_run[@]}" "$sid_root/usr/sbin/mysqld" "${options[@]}" "--port=$(port_of mysql)" \
        --log-bin=binlog --log-bin-trust-function-creators=ON
}

mysqld() {
    mysqld_options "$1" "$2"
    sid_loader
    "${sid_run[@]}" "$sid_root/usr/sbin/mysqld" "${options[@]}" "${@:3}"
}

# Fills `options` for either server: mysqld_options SERVER DATA-FOLDER. --no-defaults keeps the system's settings out.
mysqld_options() {
    local home=$dir/$1
    options=(--no-defaults "--datadir=$home/$2" "--socket=$home/$1.sock" "--pid-file=$home/server.pid" "--user=$(id -un)"
        --bind-address=127.0.0.1 --skip-name-resolve --local-infile=ON --secure-file-priv=
        --character-set-server=utf8mb4 "--ssl-ca=$home/ca.pem" "--ssl-cert=$home/server.pem" "--ssl-key=$home/server.key"
        --require-secure-transport=ON --server-id=1 --binlog-format=ROW --max-connections=200 "--tmpdir=$home"
        # Speed over safety: the data are made by tests and thrown away.
        --innodb-flush-log-at-trx-commit=0 --sync-binlog=0 --innodb-buffer-pool-size=256M --innodb-flush-method=nosync
        --innodb-doublewrite=OFF)
    if [ "$1" = mysql ]; then
        options+=("--lc-messages-dir=$sid_root/usr/share/mysql" "--character-sets-dir=$sid_root/usr/share/mysql/charsets"
            "--plugin-dir=$sid_root/usr/lib/mysql/plugin" --mysqlx=OFF)
    fi
}

mysql_answers() {
    client_file mysql
    [ "$("$dir/bin/mysql" --defaults-file="$dir/secret/mysql.cnf" -N <<<'select 1' 2>/dev/null)" = 1 ]
}

mysql_urls() { urls mysql; }

# --- MariaDB ----------------------------------------------------------------------------------------------------------

mariadbd_bin=$(PATH=$PATH:/usr/sbin command -v mariadbd || true)

mariadb_needs() {
    [ -n "$mariadbd_bin" ] || die "no MariaDB server on this system; ./dev deps lab installs it"
}

mariadb_init() {
    server_folder mariadb "$owner"
    "${as_owner[@]}" mkdir "$dir/mariadb/data.new"
    mariadb_options data.new
    "${as_owner[@]}" mariadb-install-db --no-defaults "--datadir=$dir/mariadb/data.new" --skip-test-db --skip-name-resolve \
        --auth-root-authentication-method=normal --innodb-flush-log-at-trx-commit=0 || return 1
    {
        echo 'flush privileges;'
        echo "drop user if exists ''@localhost, root@127.0.0.1, root@'::1', root@$(uname -n);"
        accounts mariadb mysql_native_password
        printf 'alter user root@localhost identified by %s;\n' "'$(secret mariadb_root)'"
    } | "${as_owner[@]}" "$mariadbd_bin" "${options[@]}" --bootstrap --skip-log-bin
}

mariadb_options() {
    mysqld_options mariadb "$1"
    options=("${options[@]/#--user=*/--user=$owner}")
}

mariadb_start() {
    mariadb_options data
    start_server mariadb "${as_owner[@]}" "$mariadbd_bin" "${options[@]}" "--port=$(port_of mariadb)" \
        --log-bin=binlog --log-bin-trust-function-creators=ON
}

mariadb_answers() {
    client_file mariadb
    [ "$(mariadb --defaults-file="$dir/secret/mariadb.cnf" -N <<<'select 1' 2>/dev/null)" = 1 ]
}

mariadb_urls() { urls mariadb; }

# --- both ---------------------------------------------------------------------------------------------------------

# The accounts, one statement a line: accounts SERVER AUTHENTICATION-PLUGIN.
accounts() {
    local role user by
    while read -r role user _; do
        case $2 in
        mysql_native_password) by="identified by '$(secret "$1_${role,,}")'" ;;
        *) by="identified with $2 by '$(secret "$1_${role,,}")'" ;;
        esac
        printf "create user %s@'%%' %s;\n" "$user" "$by"
    done < <(roles)
    cat <<'SQL'
create database reline character set utf8mb4;
create database scratch character set utf8mb4;
grant all on *.* to lab_admin@'%' with grant option;
grant all on *.* to lab_scratch@'%' with grant option;
grant all on reline.* to reline_migrate@'%';
grant all on `rb\_%`.* to reline_migrate@'%';
grant select, insert, update, delete on reline.* to reline_app@'%';
SQL
}

roles() {
    cat <<'ROLES'
ADMIN lab_admin mysql
APP reline_app reline
MIGRATE reline_migrate reline
SCRATCH lab_scratch scratch
ROLES
}

urls() {
    local role user name
    while read -r role user name; do
        printf '%s mysql://%s:%s@127.0.0.1:%s/%s?sslmode=verify-full&sslrootcert=%s\n' "$role" "$user" \
            "$(secret "$1_${role,,}")" "$(port_of "$1")" "$name" "$dir/tls/ca.pem"
    done < <(roles)
}

# An option file with the administrator's password, for the server's own client.
client_file() {
    local verify='ssl-mode=VERIFY_IDENTITY'
    [ "$1" != mariadb ] || verify='ssl-verify-server-cert'
    printf '[client]\nhost=127.0.0.1\nport=%s\nuser=lab_admin\npassword=%s\nssl-ca=%s\n%s\nconnect-timeout=3\n' \
        "$(port_of "$1")" "$(secret "$1_admin")" "$dir/tls/ca.pem" "$verify" >"$dir/secret/$1.cnf"
}
