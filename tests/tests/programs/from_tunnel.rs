use anyhow::Result;
use netctl_common::{Direction, DropReason};

use testbed::frames::{UDP, ethernet, ipv4, udp};

use crate::rig::{DROP, FAR, NEAR, Rig, dropped};

/// Only the kernel's vxlan device can attach a tunnel key, so what follows it is tested with real packets.
#[test]
fn a_packet_without_a_tunnel_key_is_dropped() -> Result<()> {
    let mut rig = Rig::new()?;
    let frame = ethernet(NEAR.0, FAR.0, 0x0800, &ipv4(FAR.1, NEAR.1, 0, UDP, &udp(1, 2, b"data")));
    let seen = rig.run(Direction::FromTunnel, &frame, 0);
    assert_eq!((seen.action, seen.outcome), (DROP, dropped(DropReason::NoTunnelKey)));
    Ok(())
}
