//! What libnetwork refuses (its `error.go`, and the errors of its controller, networks, endpoints and sandboxes), and
//! what is refused here for the same: the status of the API's answer, and the sentence.
//!
//! It has no equivalent for a global driver asked for with local scope, which no option asks for here, nor for networks
//! that are configuration alone.

use std::thread;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use testbed::{Client, Host, Lab, Options, Store};

use super::furnished;
use crate::state;

/// Method, path, body, status, and what the sentence begins with.
type Misuse<'a> = (&'a str, &'a str, Value, u16, String);

fn refused(host: &Host, table: &[Misuse<'_>]) -> Result<()> {
    let mut client = Client::connect(&host.socket())?;
    let mut wrong = Vec::new();
    for (method, path, body, status, sentence) in table {
        let (code, answer) = client.ask(method, path, body)?;
        let said = answer["error"].as_str().unwrap_or_default();
        if code != *status || !said.starts_with(sentence) {
            wrong.push(format!("{method} {path} {body}: {code} {answer}\n  {status} {sentence}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn what_libnetwork_refuses_is_refused() -> Result<()> {
    let lab = furnished()?;
    let (h1, h2) = (lab.host(1), lab.host(2));
    h1.ok(["sandbox", "create", "s3"])?;
    let sandbox: Value = serde_json::from_str(&h1.ok(["sandbox", "inspect", "s1"])?)?;
    let (id, netns) = (&sandbox[0]["id"], &sandbox[0]["netns"]);
    let attached = format!(
        "service web.dev is attached to sandbox {} on host h1: ",
        &id.as_str().unwrap_or_default()[..12]
    );
    let before = (state::dump(&lab)?, state::machine(h1)?, state::machine(h2)?);
    let none = || Value::Null;
    let of = |text: &str| text.to_owned();
    let has = "network dev has 2 services (idle, web): unpublish first";
    let there = "is there already: choose another name, or remove it first";
    let empty = "a name must not be empty";
    let here: &[Misuse<'_>] = &[
        // A network with endpoints is deleted; a second one is made of a name.
        ("DELETE", "/v1/networks/dev", none(), 403, of(has)),
        ("POST", "/v1/networks", json!({"name": "dev"}), 409, format!("network dev {there}")),
        ("POST", "/v1/networks", json!({"name": "DEV"}), 409, format!("network DEV {there}")),
        // Names that are empty.
        ("POST", "/v1/networks", json!({"name": ""}), 400, format!("field name is \"\": {empty}")),
        ("POST", "/v1/services", json!({"service": ""}), 400, of("field service is \"\": ")),
        (
            "POST",
            "/v1/services",
            json!({"service": ".dev"}),
            400,
            of("field service is \".dev\": "),
        ),
        ("POST", "/v1/services", json!({"service": "a."}), 400, of("field service is \"a.\": ")),
        // A driver, a network, an endpoint that nobody knows.
        (
            "POST",
            "/v1/networks",
            json!({"name": "x", "driver": "ether"}),
            404,
            of("there is no driver ether: use one of "),
        ),
        ("GET", "/v1/networks/x", none(), 404, of("there is no network x: ")),
        ("DELETE", "/v1/networks/x", none(), 404, of("there is no network x: ")),
        ("POST", "/v1/services", json!({"service": "a.x"}), 404, of("there is no network x: ")),
        ("GET", "/v1/services/x.dev", none(), 404, of("there is no service x on network dev: ")),
        ("DELETE", "/v1/services/x.dev", none(), 404, of("there is no service x on network dev: ")),
        (
            "POST",
            "/v1/services/x.dev/attach",
            json!({"sandbox": "s1"}),
            404,
            of("there is no service x on network dev: "),
        ),
        // A second endpoint of a name.
        (
            "POST",
            "/v1/services",
            json!({"service": "web.dev"}),
            409,
            of("service web is published on network dev already: "),
        ),
        (
            "POST",
            "/v1/services",
            json!({"service": "WEB.dev"}),
            409,
            of("service WEB is published on network dev already: "),
        ),
        // An endpoint that is attached is joined, and one is joined by nobody.
        ("POST", "/v1/services/web.dev/attach", json!({"sandbox": "s3"}), 403, attached.clone()),
        (
            "POST",
            "/v1/services/web.dev/attach",
            json!({"sandbox": "s1"}),
            409,
            of("service web.dev is attached to sandbox s1 already"),
        ),
        (
            "POST",
            "/v1/services/idle.dev/attach",
            json!({"sandbox": ""}),
            400,
            of("the name of a sandbox must not be empty"),
        ),
        (
            "POST",
            "/v1/services/idle.dev/attach",
            json!({}),
            400,
            of("the request's body: missing field `sandbox`"),
        ),
        // What is not attached is left, or what is attached elsewhere.
        (
            "POST",
            "/v1/services/idle.dev/detach",
            json!({"sandbox": "s1"}),
            403,
            of("service idle.dev is not attached to sandbox s1"),
        ),
        (
            "POST",
            "/v1/services/web.dev/detach",
            json!({"sandbox": "s3"}),
            403,
            of("service web.dev is not attached to sandbox s3"),
        ),
        // An endpoint that is attached is deleted.
        ("DELETE", "/v1/services/web.dev", none(), 403, attached.clone()),
        // A second sandbox for a container, by its name and by its namespace; one without a name, and one that is not there.
        ("POST", "/v1/sandboxes", json!({"name": "s1"}), 409, format!("sandbox s1 {there}")),
        (
            "POST",
            "/v1/sandboxes",
            json!({"name": "x", "netns": netns}),
            403,
            of("the namespace is that of sandbox s1 already"),
        ),
        ("POST", "/v1/sandboxes", json!({"name": ""}), 400, format!("field name is \"\": {empty}")),
        ("GET", "/v1/sandboxes/x", none(), 404, of("there is no sandbox x on this host: ")),
        ("DELETE", "/v1/sandboxes/x", none(), 404, of("there is no sandbox x on this host: ")),
        (
            "POST",
            "/v1/services/idle.dev/attach",
            json!({"sandbox": "x"}),
            404,
            of("there is no sandbox x on this host: "),
        ),
        (
            "POST",
            "/v1/services/web.dev/detach",
            json!({"sandbox": "x"}),
            404,
            of("there is no sandbox x on this host: "),
        ),
        // Addresses: outside the subnets, taken, kept from all, none left, used by the host, another network's.
        (
            "POST",
            "/v1/services",
            json!({"service": "x.dev", "address": "10.79.0.9"}),
            400,
            of("address 10.79.0.9 is in no subnet of network dev, which has 10.77.0.0/24"),
        ),
        (
            "POST",
            "/v1/services",
            json!({"service": "x.dev", "address": "10.77.0.10"}),
            409,
            of("address 10.77.0.10 is taken on network dev: "),
        ),
        (
            "POST",
            "/v1/services",
            json!({"service": "x.dev", "mac": "02:00:00:00:00:10"}),
            409,
            of("MAC address 02:00:00:00:00:10 is taken on network dev: "),
        ),
        (
            "POST",
            "/v1/services",
            json!({"service": "x.small"}),
            403,
            of("network small has no free address left in 10.78.0.0/30: "),
        ),
        (
            "POST",
            "/v1/networks",
            json!({"name": "x", "subnets": ["192.0.2.0/25"]}),
            409,
            of("subnet 192.0.2.0/25 overlaps with 192.0.2.0/24, which this host uses on eth0: "),
        ),
        (
            "POST",
            "/v1/networks",
            json!({"name": "x", "subnets": ["10.77.0.0/16"]}),
            409,
            of("subnet 10.77.0.0/16 overlaps with 10.77.0.0/24 of network dev: "),
        ),
        // All or nothing: what was made before the misuse goes again.
        (
            "POST",
            "/v1/run",
            json!({"sandbox": {"name": "x"}, "publish": [{"service": "a.fresh"}, {"service": "web.dev"}]}),
            409,
            of("service web is published on network dev already: "),
        ),
        (
            "POST",
            "/v1/connect",
            json!({"publish": {"service": "x.dev"}, "attach": {"sandbox": "x"}}),
            404,
            of("there is no sandbox x on this host: "),
        ),
    ];
    refused(h1, here)?;
    // What is attached on one host is refused to all.
    let there: &[Misuse<'_>] = &[
        ("POST", "/v1/services/web.dev/attach", json!({"sandbox": "s2"}), 403, attached.clone()),
        (
            "POST",
            "/v1/services/web.dev/detach",
            json!({"sandbox": "s2"}),
            403,
            of("service web.dev is not attached to sandbox s2"),
        ),
        ("DELETE", "/v1/services/web.dev", none(), 403, attached),
        ("DELETE", "/v1/networks/dev", none(), 403, of(has)),
        ("DELETE", "/v1/sandboxes/s1", none(), 404, of("there is no sandbox s1 on this host: ")),
    ];
    refused(h2, there)?;
    let after = (state::dump(&lab)?, state::machine(h1)?, state::machine(h2)?);
    ensure!(before == after, "something changed: {before:#?}\n{after:#?}");
    state::check(&lab)?;
    // After detach all that works, from the other host too.
    h1.ok(["service", "detach", "s1", "web.dev"])?;
    for words in [
        "service attach s2 web.dev",
        "service detach s2 web.dev",
        "service unpublish web.dev",
        "service unpublish idle.dev",
        "network rm dev",
    ] {
        h2.ok(words.split(' '))?;
    }
    state::check(&lab)?;
    lab.end()
}

#[test]
fn of_many_who_remove_a_sandbox_one_does() -> Result<()> {
    let lab = furnished()?;
    let socket = lab.host(1).socket();
    let statuses: Vec<u16> = thread::scope(|scope| {
        let remove =
            || Ok(Client::connect(&socket)?.ask("DELETE", "/v1/sandboxes/s1", &Value::Null)?.0);
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(remove)).collect();
        clients.into_iter().map(|client| client.join().expect("no panic")).collect::<Result<_>>()
    })?;
    ensure!(statuses.iter().filter(|status| **status == 200).count() == 1, "{statuses:?}");
    ensure!(statuses.iter().filter(|status| **status == 404).count() == 3, "{statuses:?}");
    state::check(&lab)?;
    lab.end()
}

#[test]
fn without_its_store_nothing_is_made() -> Result<()> {
    let lab = Lab::start(Options { hosts: 1, store: Store::Etcd, ..Options::default() })?;
    let host = lab.host(1);
    host.ok(["network", "create", "dev"])?;
    let before = (state::dump(&lab)?, state::files_and_links(host)?);
    let etcd = lab.etcd().expect("the lab has one");
    etcd.stop(testbed::Signal::SIGKILL)?;
    let table: &[Misuse<'_>] = &[
        ("POST", "/v1/networks", json!({"name": "x"}), 503, "the store at etcd ".to_owned()),
        ("POST", "/v1/services", json!({"service": "a.dev"}), 503, "the store at etcd ".to_owned()),
        ("DELETE", "/v1/networks/dev", Value::Null, 503, "the store at etcd ".to_owned()),
    ];
    refused(host, table)?;
    etcd.start()?;
    let after = (state::dump(&lab)?, state::files_and_links(host)?);
    ensure!(before == after, "something changed: {before:#?}\n{after:#?}");
    lab.end()
}
