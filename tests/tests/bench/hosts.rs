//! `netctl bench` between two hosts of a lab.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testbed::{Host, Lab, Options, Process, Signal, eventually};

const SOON: Duration = Duration::from_secs(20);

fn lab() -> Result<Lab> {
    Lab::start(Options::default())
}

/// Starts `netctl bench serve` with further arguments, and waits until it can be measured with.
fn serve(host: &Host, log: &str, arguments: &[&str]) -> Result<Process> {
    let words = ["netctl", "bench", "serve"];
    let mut process = host.spawn(log, words.iter().chain(arguments))?;
    eventually("it serves", SOON, || {
        ensure!(process.alive(), "it ended: {}", process.log());
        ensure!(process.log().contains("serving for "), "it says: {}", process.log());
        Ok(())
    })?;
    Ok(process)
}

fn names(host: &Host, noun: &str) -> Result<String> {
    host.ok([noun, "ls", "-q"])
}

/// Nothing of a measurement is left: no sandbox, no service, no network, and nobody listens.
fn nothing_left(lab: &Lab) -> Result<()> {
    for host in lab.hosts() {
        for noun in ["sandbox", "service", "network"] {
            let left = names(host, noun)?;
            ensure!(left.is_empty(), "{noun} left on {}: {left}", host.name());
        }
        let sockets = host.run(["ss", "-Hltn", "sport = :5281"])?.ok()?;
        ensure!(sockets.is_empty(), "{} still listens: {sockets}", host.name());
    }
    Ok(())
}

#[test]
fn a_path_is_measured_beside_its_underlay_and_nothing_is_left() -> Result<()> {
    let lab = lab()?;
    let (h1, h2) = (lab.host(1), lab.host(2));
    let mut serving = serve(h2, "serve", &[])?;
    let text = h1.ok(["--format", "json", "bench", "h2", "--milliseconds", "100"])?;
    let report: Value = serde_json::from_str(&text)?;
    ensure!(report["from"] == "h1" && report["to"] == "h2", "{text}");
    ensure!(report["mtu"] == 1450, "{text}");
    let figures = report["figures"].as_array().context("no figures")?;
    ensure!(figures.len() == 5, "{text}");
    for figure in figures {
        for path in ["overlay", "underlay"] {
            let rate = figure[path]["rate"].as_f64();
            ensure!(rate.is_some_and(|rate| rate > 0.0), "{path}: {figure}");
        }
        ensure!(figure["ratio"].as_f64().is_some_and(|ratio| ratio > 0.0), "{figure}");
    }
    let findings = report["findings"].as_array().context("no findings")?;
    for finding in findings {
        let said = |key: &str| finding[key].as_str().is_some_and(|text| !text.is_empty());
        ensure!(said("what") && said("advice"), "{finding}");
    }
    // Both ends of a veth pair take jumbo frames, and these carry none.
    let jumbo =
        |finding: &Value| finding["what"].as_str().is_some_and(|w| w.contains("could 9000"));
    ensure!(findings.iter().any(jumbo), "{text}");

    let sandboxes = names(h1, "sandbox")?;
    ensure!(sandboxes.is_empty(), "left by who measured: {sandboxes}");
    serving.stop(Signal::SIGINT, SOON)?;
    nothing_left(&lab)?;
    lab.end()
}

#[test]
fn it_works_on_a_network_of_ones_choice_and_leaves_that_as_it_is() -> Result<()> {
    let lab = lab()?;
    let (h1, h2) = (lab.host(1), lab.host(2));
    h1.ok(["network", "create", "--subnet", "10.9.0.0/24", "dev"])?;
    let mut serving = serve(h2, "serve", &["--network", "dev"])?;
    let text = h1.ok(["bench", "h2", "--milliseconds", "100"])?;
    ensure!(text.starts_with("h1 to h2 by network dev, mtu 1450; "), "{text}");
    ensure!(text.contains("TCP request/response"), "{text}");
    serving.stop(Signal::SIGTERM, SOON)?;
    h1.ok(["network", "rm", "dev"])?;
    nothing_left(&lab)?;
    lab.end()
}

#[test]
fn whoever_is_interrupted_or_killed_leaves_nothing_for_long() -> Result<()> {
    let lab = lab()?;
    let (h1, h2) = (lab.host(1), lab.host(2));
    let mut killed = serve(h2, "killed", &[])?;
    killed.stop(Signal::SIGKILL, SOON)?;
    ensure!(!names(h2, "sandbox")?.is_empty(), "nobody could clean up yet");
    // The next one does, and ends by itself.
    let network = names(h2, "network")?;
    let mut serving = serve(h2, "serve", &["--for", "15"])?;
    let sandboxes = names(h2, "sandbox")?;
    ensure!(sandboxes.lines().count() == 1, "{sandboxes}");

    let mut measuring = h1.spawn("measure", ["netctl", "bench", "h2"])?;
    eventually("it measures", SOON, || {
        ensure!(!names(h1, "sandbox")?.is_empty(), "it says: {}", measuring.log());
        Ok(())
    })?;
    measuring.stop(Signal::SIGINT, SOON)?;
    let expected = "error: signal 2 came before the measurement was complete\n";
    ensure!(measuring.log() == expected, "{}", measuring.log());
    ensure!(names(h1, "sandbox")?.is_empty());

    serving.wait(Duration::from_secs(30))?;
    h2.ok(["network", "rm", network.trim()])?;
    nothing_left(&lab)?;
    lab.end()
}

#[test]
fn what_cannot_be_measured_is_said_in_a_sentence() -> Result<()> {
    let lab = lab()?;
    let h1 = lab.host(1);
    for (words, code, expected) in [
        (&["bench", "h9"][..], 1, "there is no host h9: there are h1, h2"),
        (&["bench", "h1"], 1, "h1 is this host: name another of the cluster"),
        (&["bench", "h2"], 1, "host h2 does not serve: run `netctl bench serve` there first"),
        (&["bench", "serve", "--network", "nothing"], 1, "network nothing"),
        (&["bench", "serve", "--for", "0"], 2, "0 is not in 1..=3600"),
        (&["bench", "h2", "--milliseconds", "1"], 2, "1 is not in 100..=10000"),
        (&["bench"], 2, "Usage: netctl bench"),
    ] {
        let output = h1.netctl(words)?;
        ensure!(output.code() == code, "{words:?}: {}{}", output.stdout, output.stderr);
        ensure!(output.stderr.contains(expected), "{words:?}: {}", output.stderr);
    }
    nothing_left(&lab)?;
    lab.end()
}
