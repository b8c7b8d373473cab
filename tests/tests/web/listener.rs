//! What is served at the page's address, to whom, and to how many.

use std::{io::Write as _, net::SocketAddr};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testbed::{Lab, Options, Store, eventually};

use crate::{
    http::connect,
    stage::{ask, lab},
};

const LOOPBACK: &str = "127.0.0.1:9470";

fn with(arguments: &[&str]) -> Result<Lab> {
    let arguments = arguments.iter().map(|&word| word.to_owned()).collect();
    Lab::start(Options { hosts: 1, arguments, ..Options::default() })
}

#[test]
fn the_page_can_be_looked_at_and_nothing_else() -> Result<()> {
    let lab = lab(1, Store::File)?;
    let (host, address): (_, SocketAddr) = (lab.host(1), LOOPBACK.parse()?);
    for (path, kind, holds) in [
        ("/", "text/html; charset=utf-8", "<!doctype html>"),
        ("/style.css", "text/css; charset=utf-8", "prefers-color-scheme"),
        ("/icon.svg", "image/svg+xml", "<svg"),
        ("/main.js", "text/javascript; charset=utf-8", "import "),
        ("/scene.js", "text/javascript; charset=utf-8", "export "),
        ("/layout.js", "text/javascript; charset=utf-8", "export "),
        ("/map.js", "text/javascript; charset=utf-8", "export "),
        ("/tables.js", "text/javascript; charset=utf-8", "export "),
        ("/scene.json", "application/json", "\"host\":\"h1\""),
    ] {
        let answer = ask(host, address, &format!("GET {path}"), Some(LOOPBACK))?;
        ensure!(answer.status == 200 && answer.body.contains(holds), "{path}: {answer:?}");
        for header in [
            format!("content-type: {kind}").as_str(),
            "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; ",
            "frame-ancestors 'none'",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "cross-origin-resource-policy: same-origin",
            "cache-control: no-store",
        ] {
            ensure!(answer.head.contains(header), "{path}: no {header}: {answer:?}");
        }
        let head = ask(host, address, &format!("HEAD {path}"), Some(LOOPBACK))?;
        ensure!(head.status == 200 && head.body.is_empty(), "{path}: {head:?}");
    }
    let before = host.ok(["--format", "json", "network", "ls"])?;
    for (line, status, said) in [
        ("POST /scene.json", 405, "POST is not taken: the page can only be looked at"),
        ("DELETE /", 405, "DELETE is not taken: the page can only be looked at"),
        ("OPTIONS /", 405, "OPTIONS is not taken: the page can only be looked at"),
        ("DELETE /v1/networks/dev", 405, "DELETE is not taken"),
        ("GET /v1/status", 404, "there is no /v1/status here, but the page at / alone"),
        ("GET /metrics", 404, "there is no /metrics here, but the page at / alone"),
        ("GET /../etc/passwd", 404, "there is no /../etc/passwd here"),
    ] {
        let answer = ask(host, address, line, Some("localhost:9470"))?;
        ensure!(answer.status == status && answer.body.contains(said), "{line}: {answer:?}");
        ensure!(answer.head.contains("content-security-policy: "), "{line}: {answer:?}");
    }
    ensure!(host.ok(["--format", "json", "network", "ls"])? == before, "something was changed");
    // Others do not get there.
    ensure!(connect(lab.external(), "192.0.2.1:9470".parse()?).is_err(), "it is open to all");
    ensure!(host.log().contains("the page is at http://127.0.0.1:9470/, for this host alone"));
    lab.end()
}

/// A name that leads to 127.0.0.1 is what a page of somebody else's would have its visitor's browser ask by.
#[test]
fn other_names_for_loopback_are_not_answered() -> Result<()> {
    let lab = lab(1, Store::File)?;
    let (host, address): (_, SocketAddr) = (lab.host(1), LOOPBACK.parse()?);
    for (line, named, status) in [
        ("GET /scene.json", Some("localhost:9470"), 200),
        ("GET /scene.json", Some("127.0.0.1"), 200),
        ("GET /scene.json", Some("[::1]:8080"), 200),
        ("GET /scene.json", Some("rebound.example:9470"), 421),
        ("GET /", Some("rebound.example"), 421),
        ("GET /scene.json", Some("192.0.2.1:9470"), 421),
        ("GET /scene.json", Some(""), 421),
        ("GET http://rebound.example/scene.json", Some("localhost:9470"), 421),
        ("GET http://localhost:9470/scene.json", Some("localhost:9470"), 200),
    ] {
        let answer = ask(host, address, line, named)?;
        ensure!(answer.status == status, "{line} {named:?}: {answer:?}");
        if status == 421 {
            let body: Value = serde_json::from_str(&answer.body)?;
            let said = body["error"].as_str().context("no sentence")?;
            ensure!(said.starts_with("the page of \""), "{said}");
            ensure!(
                said.contains("is not here; ask for http://localhost/ with the port"),
                "{said}"
            );
            ensure!(!answer.body.contains("10.91.0.0"), "{answer:?}");
        }
    }
    lab.end()
}

#[test]
fn an_address_for_all_is_warned_of() -> Result<()> {
    let lab = with(&["--web-listen", "192.0.2.1:9471"])?;
    let (host, address) = (lab.host(1), "192.0.2.1:9471".parse()?);
    let log = host.log();
    let said = "the page is at http://192.0.2.1:9471/, for all who reach that address: there is no authentication";
    let line = log.lines().find(|line| line.contains(said)).with_context(|| log.clone())?;
    ensure!(line.contains("WARN"), "{line}");
    // By whatever name it has there.
    let answer = ask(lab.external(), address, "GET /scene.json", Some("h1.example:9471"))?;
    ensure!(answer.status == 200, "{answer:?}");
    let answer = ask(lab.external(), address, "PUT /scene.json", Some("h1.example:9471"))?;
    ensure!(answer.status == 405, "{answer:?}");

    for (address, reason) in [
        ("192.0.2.1:9471", "Address already in use"),
        ("192.0.2.77:9471", "Cannot assign requested address"),
    ] {
        let dir = lab.dir().join("other").display().to_string();
        let (run, state) = (format!("{dir}/run"), format!("{dir}/state"));
        let words = ["daemon", "--run-dir", &run, "--state-dir", &state, "--web-listen", address];
        let output = host.netctl(words)?;
        let said = format!("error: the page cannot be served at {address}: {reason} ");
        let next = "name another address with --web-listen";
        let right = output.code() == 1 && output.stderr.contains(&said);
        ensure!(right && output.stderr.contains(next), "{output:?}");
    }
    lab.end()
}

#[test]
fn without_the_setting_nobody_listens() -> Result<()> {
    let lab = with(&[])?;
    ensure!(connect(lab.host(1), LOOPBACK.parse()?).is_err(), "somebody listens");
    lab.end()
}

/// Those who say nothing take all places, and lose them.
#[test]
fn who_dawdles_keeps_nobody_out_for_long() -> Result<()> {
    let lab = lab(1, Store::File)?;
    let (host, address): (_, SocketAddr) = (lab.host(1), LOOPBACK.parse()?);
    let mut silent = Vec::new();
    for _ in 0..9 {
        let mut stream = connect(host, address)?;
        stream.write_all(b"GET / HTTP/1.1\r\n")?;
        silent.push(stream);
    }
    eventually("somebody gets an answer", std::time::Duration::from_secs(30), || {
        let answer = ask(host, address, "GET /scene.json", Some("localhost"))?;
        ensure!(answer.status == 200, "{answer:?}");
        Ok(())
    })?;
    host.ok(["status"])?;
    lab.end()
}
