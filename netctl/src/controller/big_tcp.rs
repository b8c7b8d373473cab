//! TCP packets of more than 64 KiB (BIG TCP), and what that asks of the underlay device.
//!
//! The outer total length of such a packet is zero. Nobody sees that where the kernel cuts the packet, or where it
//! crosses a veth whole; what network cards make of it that cut packets inside tunnels themselves is not known. A
//! packet that is larger than a device takes is cut by the kernel (`gso_features_check`), so the underlay has to be told
//! only where it is to let them through whole.

use std::{fs, io, path::Path};

use serde::{Deserialize, Serialize};

use super::{Error, Result};
use crate::{
    kernel::{Link, Netlink, Underlay},
    model::{Choice, Chosen},
};

/// The largest packet of a sender that nobody told of anything, in bytes (`GSO_LEGACY_MAX_SIZE`).
const USUAL: u32 = 65_536;
/// The largest that we have them send, in bytes: three times as much, as others found best.
const BIG: u32 = 3 * USUAL;
/// Whether the device cuts packets inside a UDP tunnel by itself.
const TUNNEL_SEGMENTATION: &str = "tx-udp_tnl-segmentation";

/// Where that is noted, in the run directory.
pub(super) const FILE: &str = "underlay.json";

/// What was changed on the underlay device, so that it can be given back.
#[derive(Debug, Serialize, Deserialize)]
struct Changed {
    device: String,
    /// In bytes.
    before: u32,
    /// In bytes.
    since: u32,
}

/// Decides, and has the underlay device follow. Returns the largest packets that endpoints shall send, in bytes.
pub(super) async fn settle(
    netlink: &Netlink,
    underlay: &Underlay,
    choice: Choice,
    run_dir: &Path,
) -> Result<(u32, Chosen)> {
    let link = netlink.link_by_name(&underlay.name).await?;
    let whole = link.kind.as_deref() == Some("veth");
    let cuts = netlink.has_feature(&link.name, TUNNEL_SEGMENTATION).await?;
    let chosen = if underlay.v4.is_none() {
        // An IPv6 packet of that size has a header more to say so, which ours have not.
        Chosen::off("the underlay is IPv6")
    } else {
        choose(choice, &link, whole, cuts)
    };
    let raised = chosen.on && (whole || choice == Choice::On) && link.sizes.tso >= BIG;
    let record = run_dir.join(FILE);
    if raised {
        raise(netlink, &link, &record).await?;
    } else {
        give_back(netlink, &link, &record).await?;
    }
    tracing::info!(big_tcp = %chosen, underlay = link.name, raised, "decided on BIG TCP");
    Ok((if chosen.on { BIG } else { USUAL }, chosen))
}

fn choose(choice: Choice, link: &Link, whole: bool, cuts: bool) -> Chosen {
    let name = &link.name;
    if choice == Choice::Off {
        Chosen::off("as was asked")
    } else if link.sizes.gso_ipv4 == 0 {
        Chosen::off("this kernel does not know it (Linux 6.3 brought it)")
    } else if whole {
        Chosen::on(format!("{name} lets packets of {BIG} bytes through whole"))
    } else if !cuts {
        Chosen::on(format!("the kernel cuts packets of {BIG} bytes for {name}"))
    } else if choice == Choice::On {
        Chosen::on(format!("as was asked, with packets of {BIG} bytes"))
    } else {
        Chosen::off(format!("{name} cuts packets by itself, and may not know those of {BIG} bytes"))
    }
}

async fn raise(netlink: &Netlink, link: &Link, record: &Path) -> Result<()> {
    if link.sizes.gso_ipv4 == BIG {
        return Ok(());
    }
    let changed = Changed { device: link.name.clone(), before: link.sizes.gso_ipv4, since: BIG };
    // First, so that what is changed can always be given back.
    fs::write(record, super::keys::write(&changed))
        .map_err(|error| failed("write", record, &error))?;
    Ok(netlink.set_gso_ipv4(link, BIG).await?)
}

/// Gives back what the underlay device had before; its name, where it had less.
pub(super) async fn restore(netlink: &Netlink, run_dir: &Path) -> Result<Option<String>> {
    let record = run_dir.join(FILE);
    let Some(changed) = read(&record)? else { return Ok(None) };
    // A device that is gone took it along.
    if let Some(link) = netlink.find_link(&changed.device).await? {
        give_back(netlink, &link, &record).await?;
    }
    Ok(Some(changed.device))
}

fn read(record: &Path) -> Result<Option<Changed>> {
    let text = match fs::read(record) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("read", record, &error)),
    };
    let changed = serde_json::from_slice(&text);
    changed.map(Some).map_err(|error| failed("read", record, &io::Error::from(error)))
}

/// Gives the device back what it had, unless somebody has changed it since.
async fn give_back(netlink: &Netlink, link: &Link, record: &Path) -> Result<()> {
    let Some(changed) = read(record)? else { return Ok(()) };
    if changed.device == link.name && link.sizes.gso_ipv4 == changed.since {
        netlink.set_gso_ipv4(link, changed.before).await?;
    }
    fs::remove_file(record).map_err(|error| failed("remove", record, &error))
}

fn failed(what: &str, path: &Path, error: &io::Error) -> Error {
    Error::internal(format!("cannot {what} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Sizes;

    #[test]
    fn cards_that_cut_by_themselves_are_not_given_what_they_may_not_know() {
        let link = |gso_ipv4| Link {
            index: 2,
            name: "eth0".to_owned(),
            mac: None,
            mtu: 1500,
            up: true,
            carrier: true,
            kind: None,
            master: None,
            peer: None,
            vxlan: None,
            sizes: Sizes { gso_ipv4, gro_ipv4: gso_ipv4, tso: USUAL, ..Sizes::default() },
        };
        let (old, new) = (link(0), link(USUAL));
        for (choice, link, whole, cuts, on) in [
            (Choice::Auto, &new, true, true, true),
            (Choice::Auto, &new, false, false, true),
            (Choice::Auto, &new, false, true, false),
            (Choice::On, &new, false, true, true),
            (Choice::On, &old, true, true, false),
            (Choice::Off, &new, true, true, false),
        ] {
            let chosen = choose(choice, link, whole, cuts);
            assert_eq!(chosen.on, on, "{choice:?}, {whole}, {cuts}: {chosen}");
        }
    }
}
