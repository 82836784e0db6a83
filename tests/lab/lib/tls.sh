# shellcheck shell=bash
# shellcheck disable=SC2154 # dir, here, owner and the like come from the files that source this one
# The lab's own certificate authority, one server certificate for localhost and 127.0.0.1, one client certificate.

make_tls() {
    [ ! -d "$dir/tls" ] || return 0
    local new=$dir/tls.new log=$dir/tls.log
    rm -rf "$new"
    mkdir -p "$new"
    {
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -subj "/CN=runbook lab CA" \
            -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign,cRLSign" \
            -keyout "$new/ca.key" -out "$new/ca.pem"
        certificate "$new" server localhost "subjectAltName=DNS:localhost,IP:127.0.0.1
extendedKeyUsage=serverAuth"
        certificate "$new" client runbook-lab-client "extendedKeyUsage=clientAuth"
    } >"$log" 2>&1 || {
        tail_of "$log"
        die "openssl could not make the certificates"
    }
    mv "$new" "$dir/tls"
}

# certificate FOLDER NAME COMMON-NAME EXTENSIONS
certificate() {
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$3" \
        -keyout "$1/$2.key" -out "$1/$2.csr" &&
        printf '%s\nbasicConstraints=CA:FALSE\n' "$4" >"$1/$2.ext" &&
        openssl x509 -req -in "$1/$2.csr" -CA "$1/ca.pem" -CAkey "$1/ca.key" -CAcreateserial -days 3650 \
            -extfile "$1/$2.ext" -out "$1/$2.pem"
}
