// Landlock: what a command and everything it starts may reach of the file system, enforced by the
// kernel (Linux 5.13 or newer, without root). Runs in the helper's child right before it becomes
// the command; never in the host. Network, signals and the processes of others stay as they are.
#pragma once

#include <string>
#include <vector>

namespace runbook::process {

/// Version of the kernel's Landlock; 0 where it has none or it is switched off. Any thread.
int confinement();

/// Confines this thread and all it becomes, for good. Each of `paths` (a file; a folder where it
/// ends in `/`) may be read, written and executed with all below it. Besides them: programs,
/// libraries and configuration of the system (/usr, /bin, /lib*, /sbin, /opt, /etc, /proc, /sys,
/// /run, /dev, /var/lib, /nix) may be read and executed, /tmp, /var/tmp, /dev/shm and the usual
/// devices be written. A path that does not exist is made reachable through its folder, for making
/// it. Programs that gain rights by being run (sudo) no longer do. False with errno where it could
/// not be put in place.
bool confine(const std::vector<std::string>& paths);

} // namespace runbook::process
