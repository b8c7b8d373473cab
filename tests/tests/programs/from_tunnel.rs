use anyhow::Result;
use netctl_common::{Direction, DropReason};

use testbed::frames::{UDP, ethernet, ipv4, udp};

use crate::{
    rig::{FAR, NEAR, dropped},
    table::{Table, check},
};

/// Only the kernel's vxlan device can attach a tunnel key, so what follows it is tested with real packets.
pub(crate) fn tables() -> Vec<Table> {
    let frame = ethernet(NEAR.0, FAR.0, 0x0800, &ipv4(FAR.1, NEAR.1, 0, UDP, &udp(1, 2, b"data")));
    vec![Table {
        direction: Direction::FromTunnel,
        setting: |_| Ok(()),
        cases: vec![("without a tunnel key", frame, 0, dropped(DropReason::NoTunnelKey))],
    }]
}

#[test]
fn verdicts() -> Result<()> {
    check(&tables())
}
