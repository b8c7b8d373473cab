//! Who sends to whom, and whose packets are dropped, as real packets have it.

use std::{collections::BTreeMap, thread, time::Duration};

use anyhow::{Context as _, Result, ensure};
use aya::maps::{Array, Map, MapData};
use netctl_common::{ABI_VERSION, event::EVENTS_UNTIL};
use nix::time::{ClockId, clock_gettime};
use serde_json::Value;
use testbed::{Host, Lab, Store, eventually, frames::ethernet};

use crate::stage::{ask, join, lab, wire};

const LOOPBACK: &str = "127.0.0.1:9470";
/// How often it is looked: what the daemon found is told to all who ask within a second of it.
const PAUSE: Duration = Duration::from_millis(1100);

fn scene(host: &Host) -> Result<Value> {
    let answer = ask(host, LOOPBACK.parse()?, "GET /scene.json", Some(LOOPBACK))?;
    ensure!(answer.status == 200, "{answer:?}");
    Ok(serde_json::from_str(&answer.body)?)
}

/// An end in words: its service, and where it is.
fn end(end: &Value) -> String {
    let word = |key: &str| end[key].as_str().unwrap_or("-").to_owned();
    let place = if end["host"].is_null() { word("vtep") } else { word("host") };
    format!("{} {place}", word("service"))
}

/// What was carried, look by look, until nothing is any more.
#[derive(Debug, Default)]
struct Seen {
    /// Packets and bytes by source and destination.
    pairs: BTreeMap<(String, String), (u64, u64)>,
    ways: BTreeMap<(String, String), (u64, u64)>,
}

impl Seen {
    /// Takes one look; whether anything was carried since the last.
    fn add(&mut self, scene: &Value) -> Result<bool> {
        let traffic = &scene["traffic"];
        let number = |each: &Value, key: &str| each[key].as_u64().context("no number");
        let (pairs, ways) = (&traffic["pairs"], &traffic["ways"]);
        for (list, into, is_pair) in [(pairs, &mut self.pairs, true), (ways, &mut self.ways, false)]
        {
            for each in list.as_array().context("no list")? {
                let place = |key: &str| {
                    let place = end(&each[key]);
                    if is_pair { place } else { place.trim_start_matches("- ").to_owned() }
                };
                let sum = into.entry((place("source"), place("destination"))).or_default();
                sum.0 += number(each, "packets")?;
                sum.1 += number(each, "bytes")?;
            }
        }
        Ok(pairs.as_array().is_some_and(|pairs| !pairs.is_empty()))
    }

    fn between(&self, source: &str, destination: &str) -> Option<(u64, u64)> {
        self.pairs.get(&(source.to_owned(), destination.to_owned())).copied()
    }
}

/// ```text
///   a, b on h1 ── c on h2 ── gateway of each; who looks is at h1
/// ```
#[test]
fn who_sends_to_whom_is_told_packet_by_packet() -> Result<()> {
    let lab = lab(2, Store::File)?;
    let played = (|| {
        let (h1, h2) = (lab.host(1), lab.host(2));
        for (host, service) in [(h1, "a.dev"), (h1, "b.dev"), (h2, "c.dev")] {
            join(host, service)?;
        }
        let ping = |size: &str, count: &str, to: &str| {
            let words = ["exec", "box-a", "--", "ping", "-n", "-q", "-i", "0.01", "-w", "20"];
            h1.ok(words.iter().chain(&["-s", size, "-c", count, to])).map(drop)
        };
        eventually("a reaches c", Duration::from_secs(15), || ping("56", "1", "c"))?;
        ensure!(scene(h1)?["traffic"].is_null(), "nothing was counted before somebody looked");
        let mut seen = Seen::default();
        let quiet = |seen: &mut Seen| {
            eventually("nothing is carried", Duration::from_secs(30), || {
                thread::sleep(PAUSE);
                ensure!(!seen.add(&scene(h1)?)?, "{seen:?}");
                Ok(())
            })
        };
        // What neighbours and the like still say.
        quiet(&mut seen)?;
        seen = Seen::default();
        // A daemon at which nobody looks for long counts no more.
        for (size, count, to) in
            [("1000", "40", "c"), ("100", "30", "b"), ("56", "20", "10.91.0.1")]
        {
            ping(size, count, to)?;
            thread::sleep(PAUSE);
            seen.add(&scene(h1)?)?;
        }
        quiet(&mut seen)?;
        let [a, b, c, gateway] = ["a h1", "b h1", "c h2", "gateway h1"];
        // Of the resolver's questions, and of ARP that asks a known neighbour, there may be more.
        for (from, to, packets, length) in [
            (a, c, 40, 1042),
            (c, a, 40, 1042),
            (a, b, 30, 142),
            (b, a, 30, 142),
            (a, gateway, 20, 98),
            (gateway, a, 20, 98),
        ] {
            let (seen_packets, bytes) =
                seen.between(from, to).with_context(|| format!("{from} to {to}: {seen:?}"))?;
            ensure!(seen_packets >= packets && bytes >= packets * length, "{from} {to} {seen:?}");
            ensure!(seen_packets <= packets + 20, "{from} to {to}: {seen:?}");
        }
        let ways: Vec<_> = seen.ways.keys().cloned().collect();
        let way = |from: &str, to: &str| (from.to_owned(), to.to_owned());
        ensure!(ways == [way("h1", "h2"), way("h2", "h1")], "{seen:?}");
        ensure!(seen.ways[&way("h1", "h2")] == seen.between(a, c).context("seen")?, "{seen:?}");
        // The other host sees its own part alone.
        scene(h2)?;
        ping("56", "10", "c")?;
        thread::sleep(PAUSE);
        let mut there = Seen::default();
        there.add(&scene(h2)?)?;
        ensure!(there.between(a, c).is_some() && there.between(c, a).is_some(), "{there:?}");
        ensure!(there.between(a, b).is_none(), "{there:?}");
        Ok(())
    })();
    played.map_err(|error: anyhow::Error| lab.explain(error))?;
    lab.end()
}

#[test]
fn whose_packets_are_dropped_is_told_by_sender_and_reason() -> Result<()> {
    let lab = lab(1, Store::File)?;
    let played = (|| {
        let host = lab.host(1);
        join(host, "a.dev")?;
        join(host, "b.dev")?;
        let forged = ethernet([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 9], 0x0800, &[0x45; 50]);
        let wire = wire(&lab, host, "a")?;
        wire.send(&forged)?;
        ensure!(scene(host)?["losses"] == serde_json::json!([]), "nobody looked before");
        for _ in 0..25 {
            wire.send(&forged)?;
        }
        eventually("the drops are told", Duration::from_secs(15), || {
            let scene = scene(host)?;
            let of = |loss: &&Value| loss["counter"] == "source-mac";
            let losses: Vec<&Value> =
                scene["losses"].as_array().context("no list")?.iter().filter(of).collect();
            ensure!(losses.len() == 1, "{scene:#}");
            let loss = losses[0];
            ensure!(loss["service"] == "a" && loss["network"] == "dev", "{loss}");
            ensure!(loss["program"] == "from-container", "{loss}");
            ensure!(loss["packets"] == 25 && loss["bytes"] == 25 * 64, "{loss}");
            Ok(())
        })
    })();
    played.map_err(|error: anyhow::Error| lab.explain(error))?;
    lab.end()
}

/// Until when the programs look at packets at all.
fn is_looked(host: &Host) -> Result<bool> {
    let pin = host.dir("bpf").join(format!("v{ABI_VERSION}/maps")).join(EVENTS_UNTIL);
    let until: Array<_, u64> = Map::Array(MapData::from_pin(&pin).context("no pin")?).try_into()?;
    let now = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC)?);
    let mut looked = false;
    for kind in 0..until.len() {
        looked |= Duration::from_nanos(until.get(&kind, 0)?) > now;
    }
    Ok(looked)
}

#[test]
fn the_programs_count_for_as_long_as_somebody_looks() -> Result<()> {
    let lab: Lab = lab(1, Store::File)?;
    let played = (|| {
        let host = lab.host(1);
        ensure!(!is_looked(host)?, "nobody has looked yet");
        scene(host)?;
        ensure!(is_looked(host)?, "somebody has");
        eventually("nobody looks any more", Duration::from_secs(30), || {
            ensure!(!is_looked(host)?);
            Ok(())
        })?;
        // Nothing follows from a look of long ago.
        ensure!(scene(host)?["traffic"].is_null());
        thread::sleep(PAUSE);
        ensure!(!scene(host)?["traffic"].is_null());
        Ok(())
    })();
    played.map_err(|error: anyhow::Error| lab.explain(error))?;
    lab.end()
}
