//! Forged tunnel packets to the path's far host, from the other end of its underlay.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testbed::Netns;

use super::{Parts, Rig};
use crate::bench::figure::{Flooded, Forged};
use crate::bench::generator::{Cpus, Outcome, Traffic};
use crate::bench::program::Link;

/// An address on the underlay that is no host's.
const STRANGER: &str = "192.0.2.9";
/// A VNI that no network has.
const NOBODYS: u32 = 0x00ff_fffe;
/// That of the kernel's path.
const KERNELS: u32 = 4096;

impl Rig {
    /// Sends them at full speed from one CPU, which receives them too: on a veth pair whoever sends
    /// runs the receiver's soft interrupts, and `/proc/stat` tells their time apart.
    pub(in crate::bench) fn flood(&self, forged: Forged, time: Duration) -> Result<Flooded> {
        let (host, words) = self.words(forged, time)?;
        let text = testbed::output(host.command(&words), time + Duration::from_secs(20))?.ok()?;
        let [flooded]: [Flooded; 1] = serde_json::from_str(&text)
            .with_context(|| format!("the generator says something unexpected: {text}"))?;
        ensure!(flooded.sent > 0, "no packet was sent");
        Ok(flooded)
    }

    /// What a load on the other CPU is like beside them, as a share of what it is like without.
    pub(in crate::bench) fn beside(
        &self,
        forged: Forged,
        kind: &'static str,
        time: Duration,
    ) -> Result<f64> {
        let traffic = Traffic { kind, streams: 1, cpus: Cpus::Other };
        let alone: Outcome = self.run(traffic, time)?;
        let (host, words) = self.words(forged, time + Duration::from_secs(10))?;
        let log = format!("{}-flood", self.name);
        let mut flood = host.spawn(&log, &words)?;
        // Until it sends at full speed.
        std::thread::sleep(Duration::from_millis(300));
        let beside = self.run(traffic, time)?;
        ensure!(flood.alive(), "the flood ended early: {}", flood.log());
        drop(flood);
        Ok(beside.rate / alone.rate)
    }

    fn words(&self, forged: Forged, time: Duration) -> Result<(&Netns, Vec<String>)> {
        let hosts = self.hosts();
        let host = hosts.first().copied().context("the path has no hosts")?;
        host.ip([format!("address replace {STRANGER}/24 dev eth0")])?;
        let vni = match forged {
            Forged::Network => NOBODYS,
            Forged::Source | Forged::Checksum => self.vni()?,
        };
        let mac = Link::of(&self.far, "eth0")?.mac.map(|byte| format!("{byte:02x}")).join(":");
        let to = format!("{}:4789", testbed::address(2));
        let (vni, milliseconds) = (vni.to_string(), time.as_millis().to_string());
        let binary = self.generator.program();
        let words = [&*binary, "bench", "generate", "flood", &to, "--from", STRANGER];
        let more = ["--vni", &vni, "--mac", &mac, "--cpu", "0", "--milliseconds", &milliseconds];
        let checksum = if forged == Forged::Checksum { &["--checksum"][..] } else { &[] };
        let all = words.iter().chain(&more).chain(checksum);
        Ok((host, all.map(|word| (*word).to_owned()).collect()))
    }

    /// The VNI of the path's network.
    fn vni(&self) -> Result<u32> {
        let Parts::Lab(lab) = &self.parts else { return Ok(KERNELS) };
        let text = lab.host(1).ok(["--format", "json", "network", "inspect", "bench"])?;
        let view: Value = serde_json::from_str(&text)?;
        let vni = view.pointer("/0/vni").and_then(Value::as_u64);
        Ok(u32::try_from(vni.with_context(|| format!("the network has no VNI: {text}"))?)?)
    }
}
