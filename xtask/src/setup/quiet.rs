//! Installing programs without their services: tests start what they need themselves, and the machine is to run no more
//! than before.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::shell;

/// Runs a command while Debian's packages start no service (invoke-rc.d(8)), which 101 says; a policy that the machine
/// has stays. A shell does it, since it outlives this program where somebody interrupts that.
const QUIETLY: &str = r#"policy=/usr/sbin/policy-rc.d
if ! [ -e $policy ]; then
    trap 'rm -f $policy' EXIT
    trap 'exit 1' INT TERM HUP
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod 755 $policy
fi
"$@""#;

/// The services that packages have started with the machine.
const SERVICES: &[(&str, &[&str])] = &[
    ("docker.io", &["docker.service", "docker.socket", "containerd.service"]),
    ("etcd-server", &["etcd.service"]),
];

/// The same command, for as long as which no package starts a service.
pub(super) fn quietly(command: &Command) -> Command {
    let mut quiet = Command::new("sh");
    quiet.args(["-c", QUIETLY, "sh"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            quiet.env(name, value);
        }
    }
    quiet
}

/// Has the services of packages that were just installed not start with the machine either.
pub(super) fn disable(packages: &[&str]) -> Result<()> {
    let of_package = SERVICES.iter().filter(|(package, _)| packages.contains(package));
    let services: Vec<&str> = of_package.flat_map(|(_, services)| *services).copied().collect();
    if services.is_empty() || !Path::new("/usr/bin/systemctl").exists() {
        return Ok(());
    }
    let mut command = Command::new("systemctl");
    command.arg("disable").args(&services);
    let list = services.join(" ");
    shell::long(&format!("having {list} not start by themselves"), "disable", command)
        .with_context(|| format!("cannot disable {list}"))
}
