# shellcheck shell=bash
# Shared by fresh and unstable: a Debian in a folder, and commands run inside it. Sourced, never run.
# The caller sets cache, a folder.
# A chroot's mounts and processes live in a namespace of their own, so they are gone when the command is, however it ends.

need_root() {
    [ "$(id -u)" = 0 ] || { echo "dev: error: this verb makes a chroot and needs root: sudo ./dev $1" >&2; exit 2; }
    command -v debootstrap >/dev/null || { echo "dev: error: debootstrap is not installed (./dev deps lab)" >&2; exit 2; }
}

: "${cache:?}"
# debootstrap's own default, unless the environment names another.
mirror=()
[ -z "${DEBIAN_MIRROR:-}" ] || mirror=("$DEBIAN_MIRROR")

# bootstrap SUITE DIR PACKAGES: packages that were fetched once are kept in the cache folder.
bootstrap() {
    local suite=$1 dir=$2 include=$3 debs=$cache/debs-$1 log=$2.log
    mkdir -p "$debs"
    echo "dev: debootstrap $suite into a folder ($include)"
    debootstrap --variant=minbase --include="$include" --cache-dir="$debs" "$suite" "$dir" "${mirror[@]}" >"$log" 2>&1 || {
        tail -n 30 "$log" >&2
        echo "dev: error: debootstrap $suite failed" >&2
        return 1
    }
    rm -f "$log"
}

# How this machine reaches the archive: name server, proxy, a frozen mirror whose lists have run out.
copy_network() {
    local root=$1 file
    for file in /etc/apt/apt.conf.d/*; do
        if grep -qiE '::proxy|Check-Valid-Until' "$file" 2>/dev/null; then cp "$file" "$root/etc/apt/apt.conf.d/"; fi
    done
    cp -L /etc/resolv.conf "$root/etc/resolv.conf"
}

# Debian's own sources of this machine (updates, security), in place of the one line that debootstrap wrote.
copy_sources() {
    local root=$1 file found=
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
        if [ -f "$file" ] && grep -q '/debian' "$file" && ! grep -q 'https://' "$file"; then
            [ -n "$found" ] || rm -f "$root/etc/apt/sources.list"
            found=1
            cp "$file" "$root/etc/apt/${file#/etc/apt/}"
        fi
    done
}

# inside ROOT SCRIPT: runs it with an empty environment as root in the folder, with /proc, /dev, /sys and a small /tmp of
# its own. Everything it started dies with it, and it dies with us: unshare itself takes no SIGTERM.
inside_pid=
trap '[ -z "$inside_pid" ] || kill -KILL "$inside_pid" 2>/dev/null; exit 143' INT TERM
inside() {
    local root=$1 script=$2 status=0
    # shellcheck disable=SC2016
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM="${TERM:-dumb}" ${http_proxy:+http_proxy="$http_proxy"} \
        ${https_proxy:+https_proxy="$https_proxy"} \
        unshare --mount --pid --ipc --uts --fork --kill-child --propagation private bash -euc '
        root=$1
        mount -t proc proc "$root/proc"
        mount --rbind /dev "$root/dev"
        mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
        mount -t tmpfs -o mode=755 run "$root/run"
        exec chroot "$root" bash -ec "$2"
    ' inside "$root" "$script" </dev/null &
    inside_pid=$!
    wait "$inside_pid" || status=$?
    inside_pid=
    return $status
}

# Removes a folder made by bootstrap; refuses while something is mounted below it.
remove_root() {
    local root=$1
    [ -d "$root" ] || return 0
    if grep -qF " $root/" /proc/self/mounts; then
        echo "dev: something is still mounted below $root: left in place" >&2
        return 1
    fi
    rm -rf --one-file-system "$root"
}
