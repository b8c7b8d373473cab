//! Connecting sandboxes to networks, as container engines have it, and pruning networks.

use anyhow::{Result, ensure};
use testbed::{Lab, Options};

use crate::{exec, ok, refused};

/// ```text
///   box ─ dev 10.88.0.0/24 ─ peer      other 10.89.0.0/24
/// ```
#[test]
fn sandboxes_are_connected_and_disconnected_live() -> Result<()> {
    let lab = Lab::start(Options { hosts: 1, ..Options::default() })?;
    let host = lab.host(1);
    for words in [
        "network create --subnet 10.88.0.0/24 --label tier=front dev",
        "network create --subnet 10.89.0.0/24 --label tier=back other",
        "sandbox create box",
        "sandbox create peer",
    ] {
        ok(host, words)?;
    }
    let made = ok(host, "network connect --alias front --ip 10.88.0.9 --ifname up0 dev box")?;
    ensure!(made == "box.dev\n", "{made}");
    ok(host, "network connect --link front:inner dev peer")?;
    for name in ["box", "front.dev", "inner"] {
        let found = exec(host, "peer", &format!("getent hosts {name}"))?;
        ensure!(found.starts_with("10.88.0.9"), "{name}: {found}");
    }
    exec(host, "peer", "ping -c 1 -W 1 front")?;
    let link = exec(host, "box", "ip -brief address show dev up0")?;
    ensure!(link.contains("10.88.0.9/24"), "{link}");

    for (words, sentence) in [
        (
            "network connect dev box",
            "sandbox box is connected to network dev already, as service box.dev",
        ),
        ("network connect nothing box", "there is no network nothing: see `netctl network ls`"),
        (
            "network connect dev nobody",
            "there is no sandbox nobody on this host: see `netctl sandbox ls`",
        ),
        ("network disconnect other box", "sandbox box is not connected to network other"),
        (
            "network connect --ip 10.88.0.9 --alias x other box",
            "address 10.88.0.9 is in no subnet of network other, which has 10.89.0.0/24",
        ),
    ] {
        refused(host, words, sentence)?;
    }
    ensure!(ok(host, "service ls -q")?.lines().count() == 2, "a failed connection left a service");

    // What is used stays, whatever is asked for; of the rest what is meant goes.
    ensure!(ok(host, "network prune --filter label=tier=front")?.is_empty());
    ensure!(ok(host, "network prune --filter label=tier=none")?.is_empty());
    ensure!(ok(host, "network ls -q --filter label=tier=back")?.lines().count() == 1);

    // What was published for the sandbox goes with the connection; what was only attached stays.
    ok(host, "service publish db.dev")?;
    ok(host, "service attach box db.dev")?;
    let mut taken: Vec<String> =
        ok(host, "network disconnect dev box")?.lines().map(str::to_owned).collect();
    taken.sort();
    ensure!(taken == ["box.dev", "db.dev"], "{taken:?}");
    ensure!(exec(host, "box", "ip -o link")?.lines().count() == 1, "an interface is left");
    ensure!(exec(host, "peer", "getent hosts front").is_err(), "a name is left");
    let services = ok(host, "service ls")?;
    ensure!(services.contains("db") && !services.contains("box"), "{services}");

    ok(host, "service unpublish db.dev")?;
    ok(host, "sandbox rm peer box")?;
    ensure!(ok(host, "network prune -f --filter label=tier=back")? == "other\n");
    ensure!(ok(host, "network prune")? == "dev\n");
    lab.end()
}
