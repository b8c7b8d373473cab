//! Programs of others that do not end: they are given up, and named as what kept one waiting.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Result, ensure};
use testbed::{DEADLINE, Lab, Options, eventually};

/// A program that never ends, in the place of another, where the PATH of hosts begins.
struct Hanging {
    program: PathBuf,
    /// The process of each time that it was started.
    started: PathBuf,
}

impl Hanging {
    fn put(lab: &Lab, name: &str) -> Result<Self> {
        let program = lab.dir().join("bin").join(name);
        let started = lab.dir().join(format!("{name}-started"));
        let script = format!("#!/bin/sh\necho $$ >>{}\nexec sleep 1000\n", started.display());
        fs::write(&program, script)?;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
        Ok(Self { program, started })
    }

    /// Takes it away, and waits until none of it runs any more.
    fn end(self) -> Result<()> {
        fs::remove_file(&self.program)?;
        eventually("none of them is left", DEADLINE, || {
            let started = fs::read_to_string(&self.started)?;
            let left: Vec<_> =
                started.lines().filter(|pid| Path::new("/proc").join(pid).exists()).collect();
            ensure!(!started.is_empty() && left.is_empty(), "{left:?} of {started:?}");
            Ok(())
        })
    }
}

/// ```text
///   h1: box1 (a.dev), box2 (b.dev); then box3 (c.dev), whose port is to be published by an nft that hangs
/// ```
#[test]
fn an_nft_that_hangs_is_given_up() -> Result<()> {
    let lab = Lab::start(Options { hosts: 1, ..Options::default() })?;
    let host = lab.host(1);
    host.ok(["network", "create", "--subnet", "10.1.0.0/24", "dev"])?;
    for (name, service) in [("box1", "a.dev"), ("box2", "b.dev")] {
        host.ok(["run", "--name", name, "--publish-service", service, "true"])?;
    }
    let reaches = || host.run(["netctl", "exec", "box1", "ping", "-c", "1", "b"])?.ok();
    let hanging = Hanging::put(&lab, "nft")?;
    let publishes = "run --name box3 -p 8080:80 --publish-service c.dev true";
    let said = "nftables: nft has not ended within 5 s and was killed: see what keeps `nft list ruleset` on this host\n";
    // On a machine that is slow one may have waited for other work of the loop too, and hear of that.
    eventually("what hangs is named", Duration::from_mins(2), || {
        let refused = host.netctl(publishes.split(' '))?;
        let begins = refused.stderr.starts_with("error: no way to the outside: cannot ");
        ensure!(refused.code() == 1 && begins && refused.stderr.ends_with(said), "{refused:?}");
        Ok(())
    })?;
    host.ok(["status"])?;
    reaches()?;
    hanging.end()?;

    eventually("the port is published", Duration::from_mins(2), || host.ok(publishes.split(' ')))?;
    let table = host.run(["nft", "list", "table", "inet", "netctl"])?.ok()?;
    ensure!(table.contains("8080"), "{table}");
    reaches()?;
    lab.end()
}
