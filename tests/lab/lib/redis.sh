# shellcheck shell=bash
# shellcheck disable=SC2154 # dir, here, owner and the like come from the files that source this one
# Redis on the loopback, in TLS only: the user app may do everything, the user reader may only read, the default user nothing.

redis_program=$(command -v redis-server || true)

redis_needs() {
    [ -n "$redis_program" ] || die "no redis-server; ./dev deps lab installs it"
}

redis_init() {
    local data=$dir/redis/data.new name
    server_folder redis "$owner"
    mkdir -p "$data"
    for name in redis_app redis_reader; do
        [ -s "$dir/secret/$name" ] || openssl rand -hex 16 >"$dir/secret/$name"
    done
    cat >"$data/redis.conf" <<CONF
bind 127.0.0.1
port 0
tls-port 0
tls-cert-file $dir/redis/server.pem
tls-key-file $dir/redis/server.key
tls-ca-cert-file $dir/redis/ca.pem
tls-auth-clients optional
dir $dir/redis/data
save ""
appendonly no
user default off
user app on >$(secret redis_app) ~* &* +@all
user reader on >$(secret redis_reader) ~* +@read +ping
CONF
    chmod 0600 "$data/redis.conf"
    [ "$owner" = "$(id -un)" ] || chown -R "$owner:" "$dir/redis"
}

redis_start() {
    sed -i -E "s/^tls-port .*/tls-port $(port_of redis)/" "$dir/redis/data/redis.conf"
    start_server redis "${as_owner[@]}" env -C "$dir/redis/data" "$redis_program" "$dir/redis/data/redis.conf"
}

redis_answers() {
    REDISCLI_AUTH=$(secret redis_app) redis-cli --user app --tls --cacert "$dir/tls/ca.pem" -h localhost -p "$(port_of redis)" ping 2>/dev/null | grep -qx PONG
}

redis_urls() {
    printf 'URL rediss://localhost:%s/0\nAPP_FILE %s\nREADER_FILE %s\n' "$(port_of redis)" "$dir/secret/redis_app" "$dir/secret/redis_reader"
}
