//! The form of answers, and what is not a call.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testbed::Store;

use crate::{
    docker::{ACCEPT, Answer, Docker},
    lab,
};

/// The sentence of an answer that says no, under both names that engines look for it by.
fn sentence(answer: &Answer, status: u16) -> Result<String> {
    ensure!(answer.status == status, "{answer:?}");
    let body: Value = serde_json::from_str(&answer.body)?;
    ensure!(body["Err"] == body["Error"], "{answer:?}");
    Ok(body["Err"].as_str().with_context(|| format!("{answer:?}"))?.to_owned())
}

#[test]
fn answers_have_the_form_that_is_asked_for() -> Result<()> {
    let lab = lab(1, Store::File)?;
    let docker = Docker::of(lab.host(1));
    let old = "application/vnd.docker.plugins.v1+json";
    for (accept, form) in [
        (format!("Accept: {ACCEPT}\r\n"), ACCEPT),
        (format!("Accept: {old}\r\n"), old),
        (format!("Accept: {old}, {ACCEPT}\r\n"), ACCEPT),
        (String::new(), ACCEPT),
    ] {
        let head =
            format!("POST /Plugin.Activate HTTP/1.1\r\nHost: \r\n{accept}Content-Length: 0\r\n");
        let answer = docker.send(&head, b"")?;
        ensure!(answer.status == 200 && answer.content_type == form, "{accept}: {answer:?}");
        let body: Value = serde_json::from_str(&answer.body)?;
        ensure!(body == json!({"Implements": ["NetworkDriver", "IpamDriver"]}), "{body}");
    }
    // Names of fields are in any case, and `null` is nothing: so Go reads them.
    let pool = json!({"addressspace": "netctl-local", "POOL": "10.3.0.0/24", "Options": null});
    let given = docker.ask("IpamDriver.RequestPool", &pool)?;
    ensure!(given["Pool"] == "10.3.0.0/24", "{given}");
    lab.end()
}

#[test]
fn what_is_no_call_is_refused_in_the_form_that_engines_read() -> Result<()> {
    let lab = lab(1, Store::File)?;
    let docker = Docker::of(lab.host(1));
    let unknown = docker.call("NetworkDriver.Fly", &json!({}))?;
    ensure!(sentence(&unknown, 404)? == "netctl knows no call NetworkDriver.Fly");
    let get = docker.send("GET /Plugin.Activate HTTP/1.1\r\nHost: x\r\n", b"")?;
    ensure!(sentence(&get, 405)? == "Plugin.Activate is called by POST, not by GET");
    let id = "ab".repeat(32);
    for (call, body, said) in [
        ("NetworkDriver.CreateNetwork", "", "it is empty"),
        ("NetworkDriver.CreateNetwork", "{\"NetworkID\":", "EOF while parsing"),
        ("NetworkDriver.CreateNetwork", "[]", "it is a list, not an object"),
        (
            "NetworkDriver.CreateNetwork",
            "{\"NetworkID\":7}",
            "networkid: invalid type: integer `7`",
        ),
        ("NetworkDriver.CreateNetwork", "{\"NetworkID\":\"../x\"}", "NetworkID \"../x\": "),
        ("NetworkDriver.Join", "{\"EndpointID\":\"x\"}", "EndpointID \"x\": "),
        ("NetworkDriver.CreateEndpoint", "\u{0}\u{1}", "expected value"),
        ("IpamDriver.RequestPool", "{\"AddressSpace\":\"x\"}", "AddressSpace \"x\" is neither"),
        (
            "IpamDriver.RequestPool",
            "{\"AddressSpace\":\"netctl-local\",\"Pool\":\"10\"}",
            "Pool \"10\": ",
        ),
        ("IpamDriver.RequestAddress", "{\"PoolID\":\"x\"}", "PoolID \"x\" is none of netctl's"),
        ("IpamDriver.ReleaseAddress", "{\"PoolID\":\"x\",\"Address\":\"y\"}", "Address \"y\": "),
    ] {
        let head = format!("POST /{call} HTTP/1.1\r\nHost: \r\nContent-Length: {}\r\n", body.len());
        let refused = sentence(&docker.send(&head, body.as_bytes())?, 400)?;
        let begin = format!("{call} cannot be read: {said}");
        ensure!(refused.starts_with(&begin), "{body:?}: {refused}");
    }
    let join = json!({"NetworkID": id, "EndpointID": id, "SandboxKey": ""});
    let refused = sentence(&docker.call("NetworkDriver.Join", &join)?, 400)?;
    ensure!(refused == "NetworkDriver.Join cannot be read: it has no SandboxKey", "{refused}");
    let large = vec![b' '; (1 << 20) + 1];
    let head = format!(
        "POST /NetworkDriver.Join HTTP/1.1\r\nHost: \r\nContent-Length: {}\r\n",
        large.len()
    );
    let refused = sentence(&docker.send(&head, &large)?, 413)?;
    ensure!(refused.starts_with("a call has at most 1048576 bytes"), "{refused}");
    // It goes on.
    docker.ask("Plugin.Activate", &Value::Null)?;
    lab.end()
}

#[test]
fn ending_what_is_not_there_succeeds() -> Result<()> {
    let lab = lab(1, Store::File)?;
    let docker = Docker::of(lab.host(1));
    for id in ["ab".repeat(32), "x".to_owned(), String::new()] {
        let of = json!({"NetworkID": id, "EndpointID": id});
        for call in [
            "Leave",
            "DeleteEndpoint",
            "DeleteNetwork",
            "FreeNetwork",
            "RevokeExternalConnectivity",
        ] {
            let answer = docker.ask(&format!("NetworkDriver.{call}"), &of)?;
            ensure!(answer == json!({}), "{call}: {answer}");
        }
    }
    for pool in ["netctl-local/10.3.0.0/24", "netctl-global/10.3.0.0/24", "x", ""] {
        docker.ask("IpamDriver.ReleasePool", &json!({"PoolID": pool}))?;
        let of = json!({"PoolID": pool, "Address": "10.3.0.9"});
        docker.ask("IpamDriver.ReleaseAddress", &of)?;
    }
    lab.end()
}
