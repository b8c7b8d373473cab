//! Three hosts in one network, two of them in a second one too, and a tap at each member:
//!
//! ```text
//!   network 4097: near, beside, the gateway (host a)   far, the gateway (host b)   away, the gateway (host c)
//!   network 4098: stranger (host a)                    foreign (host b)
//! ```

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, ensure};
use netctl_common::{Vni, maps::FdbTarget};
use testbed::{Netns, Wire};

use crate::{
    host::{Container, Host},
    rig::{GATEWAY, NETWORK, Rig, Setup, Station, VNI},
};

/// How long a frame may take, in a busy machine.
const WHILE: Duration = Duration::from_millis(300);

pub(crate) struct Members {
    pub(crate) rig: Rig,
    pub(crate) c: Host,
    pub(crate) away: Container,
    pub(crate) stranger: Container,
    pub(crate) foreign: Container,
}

impl Members {
    pub(crate) fn new() -> Result<Self> {
        let [setup, _] = Setup::DUAL;
        let mut rig = Rig::of(setup)?;
        let mut c = Host::new(&rig.run, &rig.underlay, "h4", 4, setup)?;
        let away = c.container(&rig.run, "away", Station::number(41))?;
        let Rig { a, b, run, near, beside, far, .. } = &mut rig;
        for one in [&mut *a, &mut *b] {
            one.knows_member(NETWORK, c.address)?;
            one.knows(away.station, FdbTarget::Remote(c.index()))?;
            c.knows_member(NETWORK, one.address)?;
        }
        for (container, host) in [(&*near, &*a), (&*beside, &*a), (&*far, &*b)] {
            c.knows(container.station, FdbTarget::Remote(host.index()))?;
        }

        // The same addresses in another network.
        let network = Vni::new(VNI + 1).context("no VNI")?;
        let of_other = |last| Station { network, ..Station::number(last) };
        let stranger = a.container(run, "stranger", of_other(21))?;
        let foreign = b.container(run, "foreign", of_other(11))?;
        a.knows_member(network, b.address)?;
        a.knows(foreign.station, FdbTarget::Remote(b.index()))?;
        b.knows_member(network, a.address)?;
        b.knows(stranger.station, FdbTarget::Remote(a.index()))?;
        Ok(Self { rig, c, away, stranger, foreign })
    }

    /// Where frames can arrive, by name.
    fn places(&self) -> [(&'static str, &Netns, &'static str); 9] {
        [
            ("near", &self.rig.near.netns, "eth0"),
            ("beside", &self.rig.beside.netns, "eth0"),
            ("far", &self.rig.far.netns, "eth0"),
            ("away", &self.away.netns, "eth0"),
            ("stranger", &self.stranger.netns, "eth0"),
            ("foreign", &self.foreign.netns, "eth0"),
            ("gateway a", &self.rig.a.netns, "nh"),
            ("gateway b", &self.rig.b.netns, "nh"),
            ("gateway c", &self.c.netns, "nh"),
        ]
    }

    pub(crate) fn taps(&self) -> Result<Taps> {
        let open = |(name, netns, device)| Ok((name, Wire::tap_with_tags(netns, device)?));
        Ok(Taps(self.places().into_iter().map(open).collect::<Result<_>>()?))
    }

    /// The MAC of one of the places.
    pub(crate) fn mac(&self, place: &str) -> [u8; 6] {
        let containers = [
            ("near", &self.rig.near),
            ("beside", &self.rig.beside),
            ("far", &self.rig.far),
            ("away", &self.away),
        ];
        let container = containers.into_iter().find(|(name, _)| *name == place);
        container.map_or(GATEWAY.mac, |(_, container)| container.station.mac)
    }
}

/// What arrives at each place.
pub(crate) struct Taps(BTreeMap<&'static str, Wire>);

impl Taps {
    /// Sends frames from one place, and fails unless each of `receivers` gets each once, and nobody else gets any.
    pub(crate) fn arrive(&self, from: &str, frames: &[Sent], receivers: &[&str]) -> Result<()> {
        let sender = self.0.get(from).context("no such place")?;
        for (what, frame, _) in frames {
            sender.send(frame).with_context(|| format!("{what} from {from}"))?;
        }
        let mut time = WHILE;
        for (place, wire) in &self.0 {
            let seen = wire.receive(std::mem::take(&mut time))?;
            let wanted = usize::from(receivers.contains(place));
            for (what, _, expected) in frames {
                let count = seen.iter().filter(|frame| *frame == expected).count();
                ensure!(
                    count == wanted,
                    "{what} from {from}: {place} got it {count} times, not {wanted}: {seen:02x?}"
                );
            }
        }
        Ok(())
    }
}

/// What it is; a frame as it is sent, and as it arrives.
pub(crate) type Sent = (String, Vec<u8>, Vec<u8>);

/// A frame that arrives as it was sent.
pub(crate) fn same(what: impl Into<String>, frame: Vec<u8>) -> Sent {
    (what.into(), frame.clone(), frame)
}
