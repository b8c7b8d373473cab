//! Metrics by TCP: those alone, and to all who can reach the address.

use std::{io::Write as _, net::SocketAddr};

use anyhow::{Result, ensure};
use testbed::{Client, Lab, Store};

use crate::{
    SOON, exposition,
    http::connect,
    lab,
    scrape::{Scrape, by_socket, by_tcp, request},
};

const ADDRESS: &str = "192.0.2.1:9469";

fn played(lab: Lab, scenario: impl FnOnce(&Lab, SocketAddr) -> Result<()>) -> Result<()> {
    let address = ADDRESS.parse()?;
    scenario(&lab, address).map_err(|error| lab.explain(error))?;
    lab.end()
}

#[test]
fn nothing_but_metrics_is_served() -> Result<()> {
    played(lab(1, Store::File, &["--metrics-listen", ADDRESS])?, |lab, address| {
        let external = lab.external();
        let answer = by_tcp(external, address, &request("GET", "/metrics"))?;
        ensure!(answer.status == 200, "{answer:?}");
        let kind = "content-type: text/plain; version=0.0.4; charset=utf-8";
        ensure!(answer.head.contains(kind), "{answer:?}");
        exposition::read(&answer.body)?;
        ensure!(answer.body.contains("netctl_build_info{"), "{answer:?}");
        for (method, path, status) in [
            ("GET", "/", 404),
            ("GET", "/v1/status", 404),
            ("GET", "/v1/networks", 404),
            ("POST", "/v1/networks", 404),
            ("DELETE", "/v1/networks/dev", 404),
            ("POST", "/metrics", 405),
            ("DELETE", "/metrics", 405),
            ("GET", "/metrics/", 404),
        ] {
            let answer = by_tcp(external, address, &request(method, path))?;
            ensure!(answer.status == status, "{method} {path}: {answer:?}");
            let said = match status {
                405 => format!("{path} cannot be asked with {method}"),
                _ => format!(
                    "there is no {path} here, but /metrics alone; all else is at the daemon's"
                ),
            };
            ensure!(answer.body.contains(&said), "{method} {path}: {answer:?}");
        }
        // The daemon's own socket has both.
        ensure!(by_socket(lab.host(1), "GET", "/metrics")?.status == 200);
        ensure!(by_socket(lab.host(1), "POST", "/metrics")?.status == 405);
        let mut client = Client::connect(&lab.host(1).socket())?;
        client.ok("GET", "/v1/status", &serde_json::Value::Null)?;
        Ok(())
    })
}

/// Those who say nothing take all places, and lose them.
#[test]
fn who_dawdles_keeps_nobody_out_for_long() -> Result<()> {
    played(lab(1, Store::File, &["--metrics-listen", ADDRESS])?, |lab, address| {
        let external = lab.external();
        let mut silent = Vec::new();
        for _ in 0..9 {
            let mut stream = connect(external, address)?;
            stream.write_all(b"GET /metrics HTTP/1.1\r\n")?;
            silent.push(stream);
        }
        let again = |text: &str| by_tcp(external, address, text);
        testbed::eventually("somebody gets an answer", SOON * 3, || {
            let answer = again(&request("GET", "/metrics"))?;
            ensure!(answer.status == 200, "{answer:?}");
            Ok(())
        })?;
        // The daemon's own socket knows nothing of that.
        Scrape::of(lab.host(1)).map(drop)
    })
}

#[test]
fn without_the_setting_nobody_listens() -> Result<()> {
    played(lab(1, Store::File, &[])?, |lab, address| {
        ensure!(connect(lab.external(), address).is_err(), "somebody listens at {address}");
        Ok(())
    })
}

#[test]
fn an_address_that_cannot_be_had_is_named() -> Result<()> {
    played(lab(1, Store::File, &["--metrics-listen", ADDRESS])?, |lab, _| {
        let host = lab.host(1);
        for (address, reason) in [
            (ADDRESS, "Address already in use"),
            ("192.0.2.77:9469", "Cannot assign requested address"),
        ] {
            let dir = lab.dir().join("other");
            let dir = dir.to_string_lossy();
            let output = host.netctl([
                "daemon",
                "--run-dir",
                &format!("{dir}/run"),
                "--state-dir",
                &format!("{dir}/state"),
                "--metrics-listen",
                address,
            ])?;
            let said = format!("error: metrics cannot be served at {address}: {reason} ");
            let right = output.code() == 1
                && output.stderr.contains(&said)
                && output.stderr.contains("name another address with --metrics-listen");
            ensure!(right, "{output:?}");
        }
        Ok(())
    })
}
