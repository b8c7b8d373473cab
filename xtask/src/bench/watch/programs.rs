//! The programs that the loads go through: what they take while packets are sent, as the kernel counts it, and what they
//! take by themselves, by `BPF_PROG_TEST_RUN`.

use std::time::Duration;

use anyhow::{Result, ensure};
use aya::maps::Map;
use testbed::{Lab, Netns};

use super::tally::Figure;
use crate::bench::program::{Attached, Floor, Link, REDIRECT, SHOT, frame, received};

/// A station that nobody is.
const NOBODY: [u8; 6] = [0x06, 0xbe, 0, 0, 0, 1];

/// The programs of `near`'s device and of the other host's underlay, and frames for them.
pub(super) struct Programs {
    out: Attached,
    back: Attached,
    floor: Floor,
    /// The host's end of `near`'s device.
    device: String,
    /// From `near` to `far`, to `aside`, which is on the same host, and to nobody.
    across: Vec<u8>,
    beside: Vec<u8>,
    astray: Vec<u8>,
}

/// How often a program ran, and how long in all.
#[derive(Clone, Copy)]
pub(super) struct Ran {
    times: u64,
    time: Duration,
}

impl Ran {
    /// What each run took since `before`, in nanoseconds.
    pub(super) fn since(self, before: Self) -> Result<f64> {
        let times = self.times - before.times;
        ensure!(times > 0, "the kernel has counted no run of the program");
        #[expect(clippy::cast_precision_loss, reason = "some seconds of some million runs")]
        Ok(self.time.saturating_sub(before.time).as_nanos() as f64 / times as f64)
    }
}

impl Programs {
    pub(super) fn find(lab: &Lab, near: &Netns, far: &Netns, aside: &Netns) -> Result<Self> {
        let (h1, h2) = (lab.host(1).netns(), lab.host(2).netns());
        let source = Link::of(near, "eth0")?;
        let device = source.other_end(h1)?.name;
        let to = |mac| frame(source.mac, mac);
        Ok(Self {
            out: Attached::find(h1, &device)?,
            back: Attached::find(h2, "eth0")?,
            floor: Floor::load()?,
            across: to(Link::of(far, "eth0")?.mac),
            beside: to(Link::of(aside, "eth0")?.mac),
            astray: to(NOBODY),
            device,
        })
    }

    /// The maps of this name of both hosts.
    pub(super) fn maps(&self, name: &str) -> Result<[Map; 2]> {
        Ok([self.out.map(name)?, self.back.map(name)?])
    }

    /// What the kernel has counted of both.
    pub(super) fn counted(&self) -> Result<[Ran; 2]> {
        let of = |program: &Attached| program.run_time().map(|(times, time)| Ran { times, time });
        Ok([of(&self.out)?, of(&self.back)?])
    }

    /// What a packet costs in them, in nanoseconds, less what the harness takes.
    pub(super) fn costs(&self, lab: &Lab) -> Result<[(Figure, f64); 4]> {
        let (h1, h2) = (lab.host(1).netns(), lab.host(2).netns());
        let (device, floor) = (&*self.device, &self.floor);
        let nothing = floor.repeated(h1, device, &self.beside)?;
        let beside = self.out.repeated(h1, device, &self.beside, REDIRECT)?;
        let astray = self.out.repeated(h1, device, &self.astray, SHOT)?;
        let single = floor.single(h1, device, &self.across)?;
        let (across, wrapped) = self.out.single(h1, device, &self.across)?;
        let (back, _) = self.back.single(h2, "eth0", &received(h2, wrapped)?)?;
        Ok([
            (Figure::Beside, beside - nothing),
            (Figure::Astray, astray - nothing),
            (Figure::Across, across - single),
            (Figure::Back, back - single),
        ])
    }
}
