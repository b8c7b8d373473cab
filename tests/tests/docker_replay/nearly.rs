//! Calls that are nearly such as engines make, at both sockets: each is answered in the form that engines read, and what
//! is refused leaves nothing in the store.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::{Value, json};
use testbed::{
    Host, Lab, Store,
    random::{self, Random, SEED},
};

use crate::{
    docker::{ACCEPT, Docker, create},
    lab,
    recorded::{Words, read},
    requests::{Answer, HEADERS, Request, Sample},
    stored,
};

/// How many calls there are.
const CALLS: usize = 3000;
/// And of clients that are not well.
const UNWELL: usize = 300;
/// The form of answers that older engines ask for.
const OLD: &str = "application/vnd.docker.plugins.v1+json";
/// What engines say of the form, of both ages.
const FORMS: [&str; 3] = [
    "Accept: application/vnd.docker.plugins.v1.2+json",
    "Accept: application/vnd.docker.plugins.v1+json",
    "Accept: application/vnd.docker.plugins.v1+json, application/vnd.docker.plugins.v1.2+json",
];

/// What engines were recorded to call, with netctl's names of address spaces.
fn recorded() -> Result<Vec<Sample>> {
    let mut words = Words::default();
    for (space, own) in [("dkn", "local"), ("dkg", "global")] {
        words.set(&format!("{space}-local"), &format!("netctl-{own}"));
        words.set(&format!("{space}-global"), &format!("netctl-{own}"));
    }
    let calls = [include_str!("local.jsonl"), include_str!("swarm.jsonl")].map(read);
    let mut samples = Vec::new();
    for recorded in calls.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten() {
        samples.push(sample(&recorded.call, &words.apply(&recorded.request)));
    }
    Ok(samples)
}

fn sample(call: &str, request: &Value) -> Sample {
    let body = if request.is_null() { String::new() } else { request.to_string() };
    Sample { method: "POST", target: format!("/{call}"), body }
}

/// Calls about what is there: a network with one address in use, and one that is free.
fn fitting(docker: &Docker) -> Result<Vec<Sample>> {
    let (network, pool) = docker.network("10.77.0.0/24")?;
    let address = docker.address(&pool, "10.77.0.20")?;
    let endpoint = docker.id();
    let of = json!({"NetworkID": network, "EndpointID": endpoint});
    let ports = json!({
        "com.docker.network.portmap": [{"Proto": 6, "IP": "", "Port": 80, "HostIP": "", "HostPort": 8080, "HostPortEnd": 8080}],
        "com.docker.network.endpoint.exposedports": [{"Proto": 6, "Port": 80}],
    });
    let endpoint_of = |interface: Value| {
        let mut call = of.clone();
        call["Interface"] = interface;
        call["Options"] = ports.clone();
        call
    };
    let asked = |address: &str| json!({"PoolID": pool.id, "Address": address, "Options": {}});
    let join = json!({
        "NetworkID": network, "EndpointID": endpoint, "SandboxKey": "/var/run/docker/netns/0123456789ab", "Options": ports,
    });
    let calls = [
        ("NetworkDriver.CreateNetwork", create(&docker.id(), &[&pool], &json!({}))),
        (
            "NetworkDriver.CreateEndpoint",
            endpoint_of(json!({"Address": address, "AddressIPv6": "", "MacAddress": ""})),
        ),
        (
            "NetworkDriver.CreateEndpoint",
            endpoint_of(json!({"Address": "10.77.0.9/24", "MacAddress": "02:42:0a:4d:00:09"})),
        ),
        ("NetworkDriver.Join", join.clone()),
        ("NetworkDriver.ProgramExternalConnectivity", join),
        ("NetworkDriver.RevokeExternalConnectivity", of.clone()),
        ("NetworkDriver.Leave", of.clone()),
        ("NetworkDriver.DeleteEndpoint", of),
        ("IpamDriver.RequestAddress", asked("")),
        ("IpamDriver.RequestAddress", asked("10.77.0.30")),
        ("IpamDriver.ReleaseAddress", asked("10.77.0.30")),
    ];
    Ok(calls.iter().map(|(call, request)| sample(call, request)).collect())
}

/// Whether a call was done, by the form of its answer.
fn is_done(request: &Request, answer: &Answer) -> Result<bool> {
    let Answer { status, head, body } = answer;
    let whole = || format!("{head}{}", body.escape_ascii());
    // What is no HTTP is refused before there is anything to say of it.
    if !request.is_whole() && body.is_empty() && matches!(status, 400 | 414 | 431) {
        return Ok(false);
    }
    if request.is_whole() {
        let asked = request.headers.iter().find(|header| header.starts_with("Accept: "));
        let form = if asked == Some(&FORMS[1]) { OLD } else { ACCEPT };
        ensure!(head.contains(&format!("content-type: {form}\r\n")), "{}", whole());
    }
    if request.method == "HEAD" {
        return Ok(false);
    }
    let said: Value = serde_json::from_slice(body).with_context(whole)?;
    ensure!(said.is_object(), "{}", whole());
    if *status == 200 {
        ensure!(said["Err"].is_null() && said["Error"].is_null(), "{}", whole());
        return Ok(true);
    }
    // What cannot be done has 500: an engine reads the sentence of whatever is not 200.
    ensure!([400, 404, 405, 413, 500].contains(status), "{}", whole());
    let sentence = said["Err"].as_str().unwrap_or_default();
    ensure!(said["Error"] == said["Err"] && !sentence.is_empty(), "{}", whole());
    ensure!(!sentence.contains('\n') && !sentence.contains("inside netctl"), "{}", whole());
    Ok(false)
}

/// The sockets of an engine, and of a Swarm's.
fn sockets(host: &Host) -> [PathBuf; 2] {
    ["plugins/netctl.sock", "swarm.sock"].map(|socket| host.dir("docker").join(socket))
}

/// Sends a call, and tells what is wrong with what came of it.
fn ask(lab: &Lab, socket: &std::path::Path, request: &Request) -> Result<u16> {
    let before = stored::dump(lab)?;
    let answer = request.send(socket)?.context("it is not answered")?;
    if !is_done(request, &answer)? {
        let after = stored::dump(lab)?;
        ensure!(after == before, "was {before:#?}\nis {after:#?}");
    }
    Ok(answer.status)
}

#[test]
fn calls_that_are_nearly_right_are_answered_and_leave_nothing() -> Result<()> {
    let seed = random::seed()?;
    println!("{SEED}={seed:#x}");
    let random = Random::new(seed);
    let lab = lab(1, Store::File)?;
    let host = lab.host(1);
    let docker = Docker::of(host);
    let pid = host.daemon_pid();
    let [recorded, fitting] = [recorded()?, fitting(&docker)?];
    let headers: Vec<&str> = FORMS.iter().chain(&FORMS).chain(&HEADERS).copied().collect();
    let sockets = sockets(host);
    let mut tally = BTreeMap::<u16, usize>::new();
    for number in 0..CALLS + UNWELL {
        let samples = if random.percent(50) { &recorded } else { &fitting };
        let socket = random.pick(&sockets);
        let told = |error: anyhow::Error, request: &Request| {
            lab.explain(anyhow!(
                "{SEED}={seed:#x}, {number}, {}: {request:?}: {error:#}",
                socket.display()
            ))
        };
        if number >= CALLS {
            // What they began may be done, and nobody hears of it.
            let request = Request::unwell(&random, samples, &headers);
            request
                .send(&socket)
                .and_then(|answer| answer.map_or(Ok(false), |answer| is_done(&request, &answer)))
                .map_err(|error| told(error, &request))?;
            continue;
        }
        let request = Request::any(&random, samples, &headers);
        match ask(&lab, &socket, &request) {
            Ok(status) => *tally.entry(status).or_default() += 1,
            Err(error) => {
                let short = request.shrunk(|request| ask(&lab, &socket, request).is_err());
                let error = ask(&lab, &socket, &short).err().unwrap_or(error);
                return Err(told(error, &short));
            }
        }
    }
    println!("{tally:?}");
    for (status, least) in [(200, 300), (400, 300), (404, 50), (405, 50), (413, 2), (500, 20)] {
        let found = tally.get(&status).copied().unwrap_or_default();
        ensure!(found >= least, "{found} answers of {status}: {tally:?}");
    }
    docker.ask("Plugin.Activate", &Value::Null)?;
    ensure!(host.daemon_pid() == pid, "it is another daemon");
    ensure!(!host.log().contains("panicked"), "{}", host.log());
    lab.end()
}
