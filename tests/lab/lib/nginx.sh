# shellcheck shell=bash
# shellcheck disable=SC2154 # dir, here, owner and the like come from the files that source this one
# nginx with TLS on the loopback: static files, basic authentication, a client certificate, redirects, a limit of requests.

nginx_program=$(command -v nginx || command -v /usr/sbin/nginx || true)

nginx_needs() {
    [ -n "$nginx_program" ] || die "no nginx; ./dev deps lab installs it (nginx-light)"
}

nginx_init() {
    local data=$dir/nginx/data.new
    server_folder nginx "$owner"
    mkdir -p "$data/www" "$data/tmp"
    [ -s "$dir/secret/nginx_app" ] || openssl rand -hex 16 >"$dir/secret/nginx_app"
    printf 'app:%s\n' "$(openssl passwd -apr1 -stdin <"$dir/secret/nginx_app")" >"$data/htpasswd"
    printf 'hello from nginx\n' >"$data/www/hello.txt"
    printf '{"status":"healthy","database":{"adapter":"Mysql2"}}\n' >"$data/www/health.json"
    head -c 8388608 /dev/zero | openssl enc -aes-128-ctr -K 00 -iv 00 >"$data/www/large.bin" 2>/dev/null
    cat >"$data/nginx.conf" <<CONF
daemon off;
pid $dir/nginx/nginx.pid;
error_log stderr warn;
worker_processes 1;
events { worker_connections 512; }
http {
    access_log $dir/nginx/data/access.log;
    client_body_temp_path $dir/nginx/data/tmp/body;
    proxy_temp_path $dir/nginx/data/tmp/proxy;
    fastcgi_temp_path $dir/nginx/data/tmp/fastcgi;
    uwsgi_temp_path $dir/nginx/data/tmp/uwsgi;
    scgi_temp_path $dir/nginx/data/tmp/scgi;
    types { text/plain txt; application/json json; application/octet-stream bin; }
    limit_req_zone \$binary_remote_addr zone=one:1m rate=1r/s;
    server {
        listen 127.0.0.1:PORT ssl;
        server_name localhost;
        root $dir/nginx/data/www;
        ssl_certificate $dir/nginx/server.pem;
        ssl_certificate_key $dir/nginx/server.key;
        ssl_client_certificate $dir/nginx/ca.pem;
        ssl_verify_client optional;
        location /private/ { auth_basic "lab"; auth_basic_user_file $dir/nginx/data/htpasswd; try_files /hello.txt =404; }
        location /client { if (\$ssl_client_verify != SUCCESS) { return 403; } return 200 "\$ssl_client_s_dn\n"; }
        location /bearer { return 200 "\$http_authorization"; }
        location /there { return 302 /hello.txt; }
        location /away { return 302 https://127.0.0.1:PORT/bearer; }
        location /limited { limit_req zone=one; limit_req_status 429; try_files /hello.txt =404; }
        location /down { return 503 "maintenance\n"; }
        location /slow { limit_rate 256k; rewrite ^ /large.bin break; }
    }
}
CONF
    [ "$owner" = "$(id -un)" ] || chown -R "$owner:" "$dir/nginx"
}

nginx_start() {
    sed -i -E "s/(127\.0\.0\.1:)(PORT|[0-9]+)/\1$(port_of nginx)/g" "$dir/nginx/data/nginx.conf"
    start_server nginx "${as_owner[@]}" env -C "$dir/nginx/data" "$nginx_program" -p "$dir/nginx/data/" -e stderr \
        -c "$dir/nginx/data/nginx.conf"
}

nginx_answers() {
    /usr/bin/python3 - "$(port_of nginx)" "$dir/tls/ca.pem" <<'PYTHON' >/dev/null 2>&1
import ssl, sys, urllib.request
context = ssl.create_default_context(cafile=sys.argv[2])
urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)).open(
    f"https://localhost:{sys.argv[1]}/hello.txt", timeout=3).read()
PYTHON
}

nginx_urls() {
    printf 'URL https://localhost:%s/\nPASSWORD_FILE %s\n' "$(port_of nginx)" "$dir/secret/nginx_app"
}
