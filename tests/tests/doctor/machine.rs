//! Faults of the machine.

use anyhow::{Result, ensure};
use testbed::{Lab, Options};

use crate::stage::{content, names, read, shell};

#[test]
fn faults_of_the_machine_are_named() -> Result<()> {
    let lab = Lab::start(Options { hosts: 1, ..Options::default() })?;
    let h1 = lab.host(1);
    // Without anything but netctl in PATH.
    let path = format!("PATH={}", lab.dir().join("bin").display());
    let output = h1.run(["env", &path, "netctl", "--format", "json", "doctor"])?;
    let found = read(h1, &output)?;
    ensure!(found.len() == 1 && found[0].id == "nft-missing", "{found:#?}");
    ensure!(found[0].mend == "apt install nftables", "{found:#?}");
    content(h1)?;
    let state = h1.dir("state").display().to_string();
    let fill = || shell(h1, &format!("mount -t tmpfs -o size=64k full {state}")).map(drop);
    names(h1, fill, "state-disk-full", &state, &format!("du -xh {state}"), |_| {
        shell(h1, &format!("umount {state}")).map(drop)
    })?;
    lab.end()
}
