//! The device that a plugin has made for an endpoint: from the host's namespace to the sandbox's and back.

use super::{
    super::{Error, HostContext, settle::settle_interface},
    notes::NotedEndpoint,
};
use crate::{
    kernel::{self, Link, Netlink, Netns},
    model::{Endpoint, MacAddr},
};

/// What the device is to be called in the sandbox: as it was noted, or as was chosen for it, unless the plugin wants
/// another beginning and people have chosen nothing.
pub(super) async fn name(
    inside: &Netlink,
    prefix: &str,
    chosen: &str,
    named: bool,
) -> Result<String, Error> {
    let number = chosen.strip_prefix(prefix).unwrap_or_default();
    let fits = !number.is_empty() && number.bytes().all(|c| c.is_ascii_digit());
    if named || fits {
        return Ok(chosen.to_owned());
    }
    let links = inside.links().await?;
    let free = (0..=u32::MAX)
        .map(|number| format!("{prefix}{number}"))
        .find(|name| links.iter().all(|link| link.name != *name));
    Ok(free.unwrap_or_default())
}

/// Moves the device `source` to the sandbox, or finds it there, and gives it what the endpoint has.
pub(super) async fn put_in(
    host: &HostContext,
    inside: &Netlink,
    [source, device]: [&str; 2],
    endpoint: &Endpoint,
    mac: Option<MacAddr>,
) -> Result<(), Error> {
    if let Some(link) = host.netlink.find_link(source).await?
        && inside.find_link(device).await?.is_none()
    {
        host.netlink.move_link(&link, inside.netns(), device).await?;
    }
    let Some(link): Option<Link> = inside.find_link(device).await? else {
        return Err(kernel::Error::LinkMissing { name: source.to_owned() }.into());
    };
    settle_interface(inside.netns(), device, endpoint).await?;
    if let Some(mac) = mac.filter(|mac| link.mac != Some(*mac)) {
        inside.set_mac(&link, mac).await?;
    }
    for &address in &endpoint.addresses {
        inside.add_address(&link, address).await?;
    }
    Ok(inside.set_up(&link).await?)
}

/// Moves the device back, where it has not gone with the sandbox.
pub(super) async fn take_out(host: &HostContext, note: &NotedEndpoint) -> Result<(), Error> {
    let source = note.joined.as_ref().and_then(|joined| joined.device.as_ref());
    let (Some(source), Some(device)) = (source, &note.device) else { return Ok(()) };
    let netns = match Netns::open(&note.sandbox) {
        Err(kernel::Error::NetnsMissing { .. } | kernel::Error::NotANetns { .. }) => return Ok(()),
        opened => opened?,
    };
    let inside = Netlink::open(&netns).await?;
    if let Some(link) = inside.find_link(device).await? {
        inside.move_link(&link, host.netlink.netns(), source).await?;
    }
    Ok(())
}
