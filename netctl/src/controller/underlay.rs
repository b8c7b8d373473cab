//! Following the underlay: its MTU may change under a daemon that runs.

use std::time::Duration;

use tokio::{sync::watch, time::sleep};

use crate::kernel::{Error, LinkWatch, Netlink};

/// How long to wait before the device is watched again after the kernel refused.
const PAUSE: Duration = Duration::from_secs(2);

/// Keeps in `mtu` what the underlay device has, in bytes; what it had last while the device is away.
pub(super) async fn follow(netlink: Netlink, device: String, mtu: watch::Sender<u32>) -> ! {
    loop {
        let error = match LinkWatch::open(&netlink, &device).await {
            Ok(link) => follow_link(link, &device, &mtu).await,
            Err(error) => error,
        };
        tracing::warn!(device, %error, "cannot watch the underlay; trying again");
        sleep(PAUSE).await;
    }
}

/// Ends only by an error.
async fn follow_link(mut link: LinkWatch, device: &str, mtu: &watch::Sender<u32>) -> Error {
    loop {
        if let Some(state) = link.state()
            && mtu.send_if_modified(|old| std::mem::replace(old, state.mtu) != state.mtu)
        {
            tracing::info!(device, mtu = state.mtu, "the underlay's MTU changed");
        }
        if let Err(error) = link.changed().await {
            return error;
        }
    }
}
