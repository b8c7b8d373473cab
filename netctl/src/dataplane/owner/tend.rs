//! Looking after what is pinned, which anybody may remove.

use tracing::warn;

use super::Owner;
use crate::dataplane::{Error, filter, links::Role};

impl Owner {
    /// Puts pins back that somebody has removed: what is attached holds without them only for as long as this process lives.
    pub(super) fn tend_pins(&mut self) {
        let mut put_back = self.put_back();
        if !self.links.lost.is_empty() {
            // The place for pins may have gone just then, and be there again now.
            put_back = self.put_back();
            let attached = self.attach_again();
            put_back = put_back.and_then(|count| Ok(count + attached?));
        }
        let put_back = put_back.and_then(|count| Ok(count + self.filter_again()?));
        let failed = put_back.is_err();
        match put_back {
            Ok(0) => {}
            Ok(count) => warn!(count, "somebody has removed pins: put back"),
            // It is tried every second, and said once.
            Err(_) if self.bare => {}
            Err(error) => warn!(%error, "a pin that somebody has removed cannot be put back"),
        }
        self.bare = failed;
    }

    fn put_back(&mut self) -> Result<usize, Error> {
        self.pins.provide()?;
        let maps = self.pinned.put_back(&self.pins.maps())?;
        Ok(maps + self.links.pin_again()?)
    }

    /// Attaches what could not be pinned, and went with that; says how many that were. One device that cannot be had does
    /// not keep the others from it.
    fn attach_again(&mut self) -> Result<usize, Error> {
        let (mut count, mut failed) = (0, None);
        for (role, ifindex) in std::mem::take(&mut self.links.lost) {
            let attached = match role {
                // What does not run its program is attached as what is new.
                Role::Port => self.running.get(&ifindex).map_or(Ok(()), |ifname| {
                    self.links.ensure(&mut self.ebpf, role, ifindex, ifname).map(drop)
                }),
                Role::Underlay | Role::Tunnel => self.settle_host(),
            };
            match attached {
                Ok(()) => count += 1,
                Err(error) => {
                    self.links.lost.insert((role, ifindex));
                    failed = Some(error);
                }
            }
        }
        failed.map_or(Ok(count), Err)
    }

    /// Has the underlay have its filter again, if that went with its pin; says how many that were. The link that goes holds
    /// the device for a moment, and until then no other can have it.
    fn filter_again(&mut self) -> Result<usize, Error> {
        let (filter, ifindex) = (self.config.filter, self.settings.underlay);
        self.filter_lost |= self.unfiltered.is_none() && !filter::is_pinned(&self.pins, ifindex);
        if !filter || !self.filter_lost {
            return Ok(0);
        }
        self.unfiltered = filter::settle(&mut self.ebpf, &self.pins, ifindex, filter)?;
        self.filter_lost = self.unfiltered.is_some();
        Ok(usize::from(!self.filter_lost))
    }
}
