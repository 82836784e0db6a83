# shellcheck shell=bash
# shellcheck disable=SC2154 # dir, here, owner and the like come from the files that source this one
# OpenSSH's server on the loopback, for one user (whoever runs the lab; for root the lab's unprivileged one) and one key.
# It reads nothing of the system's: own host key, own user key, own configuration.

sshd_program=$(command -v sshd || command -v /usr/sbin/sshd || true)

sshd_needs() {
    [ -n "$sshd_program" ] || die "no sshd; ./dev deps lab installs it (openssh-server)"
}

sshd_init() {
    local data=$dir/sshd/data.new
    mkdir -p "$dir/sshd"
    rm -rf "$data"
    mkdir -p "$data"
    ssh-keygen -q -t ed25519 -N '' -C runbook-lab-host -f "$data/host_key" || return 1
    rm -f "$dir/secret/sshd_key" "$dir/secret/sshd_key.pub"
    ssh-keygen -q -t ed25519 -N '' -C runbook-lab -f "$dir/secret/sshd_key" || return 1
    cp "$dir/secret/sshd_key.pub" "$data/authorized_keys"
    cat >"$data/sshd_config" <<CONF
ListenAddress 127.0.0.1
HostKey $dir/sshd/data/host_key
AuthorizedKeysFile $dir/sshd/data/authorized_keys
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
AllowUsers $owner
LogLevel VERBOSE
MaxStartups 100
CONF
    [ "$owner" = "$(id -un)" ] || chown -R "$owner:" "$dir/sshd"
}

sshd_start() {
    printf '[127.0.0.1]:%s %s\n' "$(port_of sshd)" "$(cat "$dir/sshd/data/host_key.pub")" >"$dir/secret/sshd_known_hosts"
    start_server sshd "${as_owner[@]}" "$sshd_program" -D -e -f "$dir/sshd/data/sshd_config" -p "$(port_of sshd)"
}

sshd_answers() {
    ssh -F /dev/null -T -p "$(port_of sshd)" -i "$dir/secret/sshd_key" -o IdentitiesOnly=yes -o BatchMode=yes \
        -o ConnectTimeout=3 -o UserKnownHostsFile="$dir/secret/sshd_known_hosts" "$owner@127.0.0.1" true </dev/null >/dev/null 2>&1
}

sshd_urls() {
    printf 'TARGET %s@127.0.0.1\nPORT %s\nKEY %s\nKNOWN_HOSTS %s\n' "$owner" "$(port_of sshd)" "$dir/secret/sshd_key" \
        "$dir/secret/sshd_known_hosts"
}
