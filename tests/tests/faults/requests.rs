//! The API under requests that are nearly right: each is answered in the form that is promised, and what is refused
//! leaves nothing.

#[path = "../support/requests.rs"]
mod nearly;

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    os::unix::{fs::MetadataExt as _, net::UnixStream},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use testbed::{
    Client, Host, Lab, Netns, Options, eventually,
    random::{self, Random, SEED},
};

use self::nearly::{Answer, HEADERS, Request, Sample};
use crate::state::{self, Dump};

/// How many requests there are.
const REQUESTS: usize = 1500;
/// And of clients that are not well.
const UNWELL: usize = 600;
/// How much more memory the daemon may have taken meanwhile than it had, in KiB.
const MEMORY: u64 = 48 << 10;
/// How many clients hold a connection each without going on.
const IDLE: usize = 200;

/// A host with something of everything, and what the store then has.
struct World<'a> {
    lab: &'a Lab,
    host: &'a Host,
    store: Dump,
    random: Random,
    samples: Vec<Sample>,
}

impl World<'_> {
    /// Makes it as it was, after something may have been changed.
    fn furnish(&mut self) -> Result<()> {
        let mut client = Client::connect(&self.host.socket())?;
        clear(&mut client, &["web", "idle"], &["box"], &["dev"])?;
        let sandboxes = client.ok("GET", "/v1/sandboxes", &Value::Null)?;
        if sandboxes[0].is_object() && state::dump(self.lab)? == self.store {
            return Ok(());
        }
        clear(&mut client, &[], &[], &[])?;
        let dev = json!({"name": "dev", "subnets": ["10.77.0.0/24"], "options": {"vni": "4242"}});
        client.ok("POST", "/v1/networks", &dev)?;
        client.ok("POST", "/v1/sandboxes", &json!({"name": "box"}))?;
        for service in ["web.dev", "idle.dev"] {
            client.ok("POST", "/v1/services", &json!({ "service": service }))?;
        }
        client.ok("POST", "/v1/services/web.dev/attach", &json!({"sandbox": "box"}))?;
        self.store = state::dump(self.lab)?;
        Ok(())
    }

    /// Sends a request, and tells what is wrong with what came of it.
    fn ask(&mut self, request: &Request) -> Result<u16> {
        let answer = request.send(&self.host.socket())?.context("it is not answered")?;
        if !is_done(request, &answer)? {
            let store = state::dump(self.lab)?;
            ensure!(store == self.store, "was {:#?}\nis {store:#?}", self.store);
        } else if request.method != "GET" {
            self.furnish()?;
        }
        Ok(answer.status)
    }
}

/// Removes all services, sandboxes and networks but those of such names.
fn clear(
    client: &mut Client,
    services: &[&str],
    sandboxes: &[&str],
    networks: &[&str],
) -> Result<()> {
    let mut each = |list: &str, kept: &[&str], path: &dyn Fn(&Value) -> String| -> Result<()> {
        let all = client.ok("GET", list, &Value::Null)?;
        for one in all.as_array().context("no list")? {
            if !kept.contains(&text(&one["name"])) {
                client.ok("DELETE", &path(one), &Value::Null)?;
            }
        }
        Ok(())
    };
    each("/v1/services", services, &|service| {
        let (name, network) = (text(&service["name"]), text(&service["network"]));
        format!("/v1/services/{name}.{network}?force=true")
    })?;
    each("/v1/sandboxes", sandboxes, &|one| format!("/v1/sandboxes/{}", text(&one["id"])))?;
    each("/v1/networks?all=true", networks, &|one| format!("/v1/networks/{}", text(&one["id"])))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Whether a request was done, by the form of its answer: it may have changed something then.
fn is_done(request: &Request, answer: &Answer) -> Result<bool> {
    let Answer { status, head, body } = answer;
    let whole = || format!("{head}{}", body.escape_ascii());
    match status {
        200..300 => Ok(true),
        // What is no HTTP is refused before there is anything to say of it.
        400 | 414 | 431 if body.is_empty() && !request.is_whole() => Ok(false),
        400..500 if request.method == "HEAD" => Ok(false),
        400..500 => {
            ensure!(head.contains("content-type: application/json"), "{}", whole());
            let body: BTreeMap<String, String> =
                serde_json::from_slice(body).with_context(whole)?;
            let fields: Vec<&str> = body.keys().map(String::as_str).collect();
            ensure!(fields == ["error", "kind"], "{}", whole());
            let sentence = &body["error"];
            ensure!(!sentence.is_empty() && !sentence.contains('\n'), "{}", whole());
            let kinds = ["unusable", "forbidden", "not-found", "conflict"];
            ensure!(kinds.contains(&&*body["kind"]), "{}", whole());
            Ok(false)
        }
        _ => bail!("{}", whole()),
    }
}

fn samples(pod: &Netns) -> Result<Vec<Sample>> {
    let file = fs::metadata(pod.path())?;
    let id = (file.dev(), file.ino());
    let attachment = json!({"container": "c0ffee", "device": "eth0"});
    let service = json!({
        "service": "db.dev", "aliases": ["sql"], "exposed": ["5432/tcp:sql"], "ports": ["8080:80/tcp"],
        "address": "10.77.0.20", "mac": "02:42:0a:00:00:20", "bridging": false,
    });
    let sandbox = json!({
        "name": "other", "dns": ["10.0.0.9"], "dns_search": ["example.org"], "dns_options": ["ndots:1"],
        "hostname": "box", "extra_hosts": ["db:10.0.0.9"],
    });
    let network = json!({
        "name": "more", "driver": "overlay", "subnets": ["10.78.0.0/24", "fd00:78::/64"],
        "ip_ranges": ["10.78.0.128/25"], "gateways": ["10.78.0.1"], "aux_addresses": {"router": "10.78.0.9"},
        "internal": true, "options": {"mtu": "1400"}, "labels": {"a": "b"},
    });
    let join = json!({
        "container": "c0ffee", "configuration": "net", "netns": [pod.path()], "netns_id": id, "device": "eth0",
        "network": {"name": "pods", "subnets": ["10.79.0.0/24"]}, "service": {"service": "pod.pods"},
        "dns": [], "dns_search": ["example.org"], "dns_options": [],
    });
    let asked = [
        "networks?all=true",
        "networks/dev",
        "services?network=dev",
        "services/web.dev",
        "sandboxes",
        "sandboxes/box",
        "hosts",
        "fdb",
        "neigh",
        "counters",
        "traffic",
        "status",
        "version",
        "events?drops=true&flows=true&network=dev&service=web&protocol=tcp&port=80",
    ]
    .map(|path| ("GET", path, Value::Null));
    let removed =
        ["networks/dev", "services/idle.dev", "services/web.dev?force=true", "sandboxes/box"]
            .map(|path| ("DELETE", path, Value::Null));
    let done = [
        ("networks", network),
        ("networks", json!({"name": "wire", "driver": "bridge", "subnets": ["10.80.0.0/24"]})),
        ("networks", json!({"name": "none", "driver": "null"})),
        ("networks", json!({"name": "dev"})),
        ("services", json!({"service": "web.dev"})),
        ("services/web.dev/attach", json!({"sandbox": "box"})),
        ("services", service.clone()),
        (
            "services/idle.dev/attach",
            json!({"sandbox": "box", "force": true, "aliases": ["web:www"], "gw_priority": -1, "device": "eth3"}),
        ),
        ("services/web.dev/detach", json!({"sandbox": "box"})),
        ("sandboxes", sandbox.clone()),
        ("connect", json!({"publish": service.clone(), "attach": {"sandbox": "box"}})),
        ("disconnect", json!({"sandbox": "box", "network": "dev"})),
        ("run", json!({"sandbox": sandbox, "publish": [service]})),
        ("containers/join", join),
        ("containers/leave", json!({"configuration": "net", "attachment": attachment})),
        ("containers/retain", json!({"configuration": "net", "keep": [attachment]})),
        ("store/probe", Value::Null),
    ]
    .map(|(path, body)| ("POST", path, body));
    let body = |body: Value| if body.is_null() { String::new() } else { body.to_string() };
    let all = asked.into_iter().chain(removed).chain(done);
    Ok(all
        .map(|(method, path, text)| Sample {
            method,
            target: format!("/v1/{path}"),
            body: body(text),
        })
        .collect())
}

/// The most memory that a process has had, in KiB.
fn peak(pid: i32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    line.split_whitespace().next().context("no number")?.parse().context("a number")
}

/// Has a daemon asked, which is the same afterwards, and well, and whose host is as it was.
#[expect(clippy::print_stdout, reason = "it is shown where the test fails")]
fn played(ask: impl FnOnce(&mut World<'_>) -> Result<()>) -> Result<()> {
    let seed = random::seed()?;
    println!("{SEED}={seed:#x}");
    let lab = Lab::start(Options { hosts: 1, ..Options::default() })?;
    let host = lab.host(1);
    let pod = Netns::new(lab.dir(), "pod")?;
    let (random, samples) = (Random::new(seed), samples(&pod)?);
    let mut world = World { lab: &lab, host, store: Dump::new(), random, samples };
    let pid = host.daemon_pid().context("no daemon")?;
    let asked = (|| {
        world.furnish()?;
        let (before, machine) = (peak(pid)?, state::machine(host)?.len());
        ask(&mut world)?;
        let after = peak(pid)?;
        println!("{before} KiB of memory at most before, {after} KiB after");
        ensure!(after < before + MEMORY, "{before} KiB of memory became {after} KiB");
        ensure!(host.daemon_pid() == Some(pid), "it is another daemon");
        ensure!(!host.log().contains("panicked"), "it panicked");
        eventually("all is as it was", Duration::from_secs(20), || {
            world.furnish()?;
            let now = state::machine(host)?;
            ensure!(now.len() == machine, "{machine} things became {now:#?}");
            state::check(&lab)
        })
    })();
    asked
        .map_err(|error: anyhow::Error| lab.explain(error.context(format!("{SEED}={seed:#x}"))))?;
    lab.end()
}

#[test]
fn requests_that_are_nearly_right_are_answered_and_leave_nothing() -> Result<()> {
    played(|world| {
        let mut tally = BTreeMap::<u16, usize>::new();
        for number in 0..REQUESTS {
            let request = Request::any(&world.random, &world.samples, &HEADERS);
            match world.ask(&request) {
                Ok(status) => *tally.entry(status).or_default() += 1,
                Err(error) => {
                    let short = request
                        .shrunk(|request| world.furnish().is_ok() && world.ask(request).is_err());
                    let error = world.ask(&short).err().unwrap_or(error);
                    bail!("{number}: {short:?}: {error:#}; of {request:?}");
                }
            }
        }
        println!("{tally:?}");
        let least = [(200, 50), (201, 10), (400, 200), (404, 50), (405, 20), (409, 2), (413, 2)];
        for (status, least) in least {
            let found = tally.get(&status).copied().unwrap_or_default();
            ensure!(found >= least, "{found} answers of {status}: {tally:?}");
        }
        Ok(())
    })
}

#[test]
fn clients_that_are_not_well_are_nobody_elses_trouble() -> Result<()> {
    played(|world| {
        let socket = world.host.socket();
        let idle = (0..IDLE).map(|_| {
            let mut stream = UnixStream::connect(&socket)?;
            stream.write_all(b"POST /v1/networks HTTP/1.1\r\nContent-Le")?;
            Ok(stream)
        });
        let idle = idle.collect::<Result<Vec<_>>>()?;
        for number in 0..UNWELL {
            let request = Request::unwell(&world.random, &world.samples, &HEADERS);
            // What they began may be done, and nobody hears of it.
            request
                .send(&socket)
                .and_then(|answer| answer.map_or(Ok(false), |answer| is_done(&request, &answer)))
                .with_context(|| format!("{number}: {request:?}"))?;
        }
        world.host.ok(["status"])?;
        drop(idle);
        Ok(())
    })
}
