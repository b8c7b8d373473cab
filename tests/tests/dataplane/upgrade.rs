//! What a data plane does where another version has its own pinned.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, ensure};
use netctl::dataplane::{Config, Dataplane, Desired, Error, Sweep};
use testbed::Netns;

use crate::host::{Host, expect, mac, numbers_of, running};

/// Has a data plane hold what is desired, and then be one of another version.
async fn older(host: &Host, config: Config) -> Result<PathBuf> {
    let dataplane = Dataplane::start(config).await?;
    dataplane.apply(host.desired(), Sweep::Remove).await?;
    dataplane.shutdown().await?;
    let older = host.bpf.join("v1");
    fs::rename(host.pins(), &older).context("pins cannot be renamed")?;
    Ok(older)
}

#[test]
fn a_failed_start_takes_back_its_own_pins_alone() {
    let host = Host::new();
    host.netns
        .ip([
            "link add spare type veth peer name peer2",
            "link add vx2 type vxlan external dstport 4790",
        ])
        .expect("devices");
    host.within(async || {
        let older = older(&host, host.config()).await?;
        let before = numbers_of(&older);
        ensure!((before.maps.len(), before.links.len()) == (14, 4), "{before:?}");
        // It fails late: its underlay runs the program of another data plane.
        let spare = || Config { underlay: "spare".to_owned(), ..host.config() };
        let bpf_dir = host.run.dir().join("bpf2");
        let other = Config { bpf_dir, vxlan_device: "vx2".to_owned(), ..spare() };
        Dataplane::start(other).await?.shutdown().await?;
        let refused = Dataplane::start(spare()).await.map(drop);
        ensure!(matches!(refused, Err(Error::Foreign { .. })), "{refused:?}");
        ensure!(!host.pins().exists(), "{} was left", host.pins().display());
        let after = numbers_of(&older);
        ensure!(before == after, "{before:?} became {after:?}");
        for ifname in ["underlay", "vx", "port0", "port1"] {
            ensure!(running(ifname)? == 1, "{ifname} runs {} programs", running(ifname)?);
        }
        Ok(())
    });
}

/// A container pings one behind another host's vxlan device a hundred times a second, both ways through the underlay.
///
/// ```text
///   inside0 10.0.0.2 ── port0   underlay 192.0.2.1 ── 192.0.2.2 peer, with stock 10.0.0.4 (vxlan)
/// ```
#[test]
fn another_version_serves_until_all_is_held() {
    let host = Host::new();
    let container = Netns::new(host.run.dir(), "container").expect("a namespace");
    let stock = Netns::new(host.run.dir(), "stock").expect("a namespace");
    host.netns
        .ip([
            format!("link set inside0 netns {}", container.path().display()),
            format!("link set peer netns {}", stock.path().display()),
            "link set port0 up".to_owned(),
        ])
        .expect("the ends of the wires");
    container
        .ip([
            format!("link set inside0 mtu 1450 address {}", mac(2)),
            "addr add 10.0.0.2/24 dev inside0".to_owned(),
            "link set inside0 up".to_owned(),
        ])
        .expect("the container's address");
    stock
        .ip([
            "addr add 192.0.2.2/24 dev peer".to_owned(),
            "link set peer up".to_owned(),
            format!(
                "link add stock address {} type vxlan id 4096 remote 192.0.2.1 dstport 4789",
                mac(4)
            ),
            "addr add 10.0.0.4/24 dev stock".to_owned(),
            "link set stock up".to_owned(),
            format!("neigh add 10.0.0.2 lladdr {} dev stock nud permanent", mac(2)),
        ])
        .expect("the other host");
    let config = || Config { filter: true, ..host.config() };
    let said = host.within(async || {
        let older = older(&host, config()).await?;
        let before = numbers_of(&older);
        ensure!(before.links.len() == 5, "{before:?}");
        let mut ping = container.command(["ping", "-q", "-i", "0.01", "-c", "400", "10.0.0.4"]);
        let ping = std::thread::spawn(move || {
            let output = ping.output()?;
            Ok::<_, std::io::Error>(String::from_utf8_lossy(&output.stdout).into_owned())
        });
        let moment = || tokio::time::sleep(Duration::from_millis(300));
        moment().await;

        let dataplane = Dataplane::start(config()).await?;
        moment().await;
        dataplane.apply(Desired::default(), Sweep::Keep).await?;
        moment().await;
        let applied = dataplane.apply(host.desired(), Sweep::Keep).await?;
        ensure!(applied.attached.is_empty() && applied.failed.is_empty(), "{applied:?}");
        let still = numbers_of(&older);
        ensure!(before == still, "{before:?} became {still:?}");
        for ifname in ["underlay", "vx", "port0", "port1"] {
            ensure!(running(ifname)? == 1, "{ifname} runs {} programs", running(ifname)?);
        }
        ensure!(dataplane.unfiltered().await?.is_some_and(|why| why.contains("another version")));

        let desired = host.desired();
        let applied = dataplane.apply(desired.clone(), Sweep::Remove).await?;
        ensure!(applied.attached.iter().eq(desired.ports.keys()), "{applied:?}");
        ensure!(!older.exists(), "{} was left", older.display());
        expect(&dataplane, &desired).await?;
        let after = host.numbers();
        ensure!(after.links.len() == 5, "{after:?}");
        ensure!(dataplane.unfiltered().await?.is_none());
        moment().await;
        for ifname in ["underlay", "vx", "port0", "port1"] {
            ensure!(running(ifname)? == 1, "{ifname} runs {} programs", running(ifname)?);
        }
        let said = ping.join().ok().context("ping could not be awaited")??;
        let counters = dataplane.counters().await?;
        let forwarded =
            |row: &&netctl::dataplane::CounterRow| row.outcome.as_str() == "to-container";
        ensure!(counters.iter().any(|row| forwarded(&row) && row.packets > 0), "{counters:?}");
        dataplane.shutdown().await?;
        Ok(said)
    });
    assert!(said.contains("400 packets transmitted, 400 received"), "{said}");
}
