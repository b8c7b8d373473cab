//! What the underlay device received.

use netctl_common::DropReason;

use crate::{
    Decision, decap, deliver,
    outer::{self, INNER4, INNER6, Outer},
    packet::Packet,
    parse, validate,
};

#[inline(always)]
pub(crate) fn decide(packet: &Packet) -> Result<Decision, DropReason> {
    match outer::read(packet)? {
        None => Ok(Decision::NotOurs),
        Some(outer) if outer.is_ipv6 => inside::<INNER6>(packet, &outer),
        Some(outer) => inside::<INNER4>(packet, &outer),
    }
}

/// Decides by the frame that stands `INNER` bytes from the start.
#[inline(always)]
fn inside<const INNER: usize>(packet: &Packet, outer: &Outer) -> Result<Decision, DropReason> {
    let frame = parse::inner::<INNER>(packet)?;
    validate::tunnel(outer.vni, frame.source(), &outer.source)?;
    if outer.for_kernel || frame.destination().is_group() || !frame.payload.survives_tunnel(packet)
    {
        // It comes back as `from_tunnel`'s.
        return Ok(Decision::LeaveToKernel);
    }
    let decision = deliver::local(outer.vni, frame.destination())?;
    decap::strip::<INNER>(packet, outer, &frame)?;
    Ok(decision)
}
