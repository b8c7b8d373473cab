//! The recorded calls of a whole life of an engine, in order, with its identifiers and paths: each answer is one that the
//! engine can use, containers reach their gateway meanwhile, and in the end nothing is left.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use testbed::{Host, Lab, Netns, Signal, Store, eventually};

use crate::{
    docker::Docker,
    lab, left,
    recorded::{Recorded, Words, read},
    rules::{Memory, Taken, take},
};

const RECORDING: &str = include_str!("local.jsonl");

/// Options that the recorded plugin had of its own.
const FOREIGN: [&str; 6] = ["tenant", "x", "gwbridge", "nogw", "route", "ik"];
const GENERIC: &str = "com.docker.network.generic";

/// An engine, with the containers that it has moved interfaces into.
struct Engine<'a> {
    lab: &'a Lab,
    host: &'a Host,
    docker: Docker,
    words: Words,
    memory: Memory,
    /// By path, with the numbers of interfaces that they had.
    containers: BTreeMap<String, (Netns, usize)>,
    /// Where endpoints are.
    joined: BTreeMap<String, String>,
    /// What was refused, which no later call can be about.
    refused: Vec<String>,
    step: String,
    pinged: usize,
}

impl<'a> Engine<'a> {
    fn new(lab: &'a Lab) -> Self {
        let host = lab.host(1);
        let mut words = Words::default();
        for (space, own) in
            [("dkn", "local"), ("dkn", "global"), ("dkg", "local"), ("dkg", "global")]
        {
            words.set(&format!("{space}-{own}"), &format!("netctl-{own}"));
        }
        Self {
            lab,
            host,
            docker: Docker::of(host),
            words,
            memory: Memory::default(),
            containers: BTreeMap::new(),
            joined: BTreeMap::new(),
            refused: Vec::new(),
            step: String::new(),
            pinged: 0,
        }
    }

    fn replay(&mut self, recorded: &Recorded) -> Result<()> {
        if self.step != recorded.step {
            self.step.clone_from(&recorded.step);
            self.begin_step()?;
        }
        let request = self.words.apply(&recorded.request);
        let answer = self.docker.call(&recorded.call, &request)?;
        let taken = match take(&answer)? {
            Taken::Refused(sentence) if foreign(&request).is_some_and(|o| sentence.contains(o)) => {
                // That is all that is wrong with it.
                let request = without_foreign(&request);
                (take(&self.docker.call(&recorded.call, &request)?)?, request)
            }
            taken @ (Taken::Done(_) | Taken::Refused(_)) => (taken, request),
        };
        match taken {
            (Taken::Done(body), request) => {
                ensure!(!self.must_be_refused(recorded), "it is not refused");
                self.memory.check(&recorded.call, &request, &body)?;
                self.words.learn(&recorded.answered, &body);
                self.follow(recorded, &body)
            }
            (Taken::Refused(sentence), _) => self.understand(recorded, &sentence),
        }
    }

    /// What happens to an engine between what it says.
    fn begin_step(&mut self) -> Result<()> {
        if self.step.starts_with("75-") {
            // All containers died with the engine, and their namespaces with them.
            self.containers.clear();
        }
        if self.step.starts_with("78-") {
            // The engine was started anew under containers that live on; let the daemon be so too.
            self.lab.restart_daemon(self.host, Signal::SIGKILL)?;
            self.ping_all()?;
        }
        Ok(())
    }

    /// What an engine does after such an answer.
    fn follow(&mut self, recorded: &Recorded, answer: &Value) -> Result<()> {
        let endpoint = recorded.field("EndpointID").to_owned();
        match recorded.call.as_str() {
            // The recorded plugin had failed there, so that the engine had nothing to give back. This one has.
            "IpamDriver.RequestPool" if recorded.failed() => {
                let of = json!({"PoolID": answer["PoolID"]});
                self.docker.ask("IpamDriver.ReleasePool", &of).map(drop)
            }
            "NetworkDriver.CreateNetwork" if recorded.failed() => {
                let of = json!({"NetworkID": recorded.field("NetworkID")});
                self.docker.ask("NetworkDriver.DeleteNetwork", &of).map(drop)
            }
            "NetworkDriver.Join" => self.take(recorded, &endpoint, answer),
            "NetworkDriver.Leave" => {
                let device = format!("nc{}", &endpoint[..12]);
                let left = self.host.run(["ip", "link", "show", &device])?;
                ensure!(!left.success(), "{device} is left");
                self.joined.remove(&endpoint);
                // A container that has nothing ends.
                self.containers.retain(|key, _| self.joined.values().any(|place| place == key));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Moves the interface to the container, and has that reach its gateway.
    fn take(&mut self, recorded: &Recorded, endpoint: &str, answer: &Value) -> Result<()> {
        let key = recorded.field("SandboxKey").to_owned();
        if !self.containers.contains_key(&key) {
            let name = key.rsplit('/').next().context("a name")?;
            self.containers.insert(key.clone(), (Netns::new(self.lab.dir(), name)?, 0));
        }
        let addresses = self.addresses_of(endpoint)?;
        let (netns, number) = self.containers.get_mut(&key).context("a container")?;
        let source = answer["InterfaceName"]["SrcName"].as_str().context("SrcName")?;
        let own = format!("eth{number}");
        *number += 1;
        let place = netns.path().display();
        self.host.netns().ip([format!("link set {source} netns {place} name {own}")])?;
        let mut lines = vec![format!("link set {own} up")];
        for address in &addresses {
            let nodad = if address.contains(':') { " nodad" } else { "" };
            lines.push(format!("addr add {address} dev {own}{nodad}"));
        }
        netns.ip(lines)?;
        self.joined.insert(endpoint.to_owned(), key);
        if let Some(gateway) = answer["Gateway"].as_str() {
            netns.run(["ping", "-c", "1", "-W", "2", "-I", &own, gateway])?.ok()?;
            self.pinged += 1;
        }
        Ok(())
    }

    fn addresses_of(&self, endpoint: &str) -> Result<Vec<String>> {
        let text = self.host.ok(["service", "ls", "--format", "json"])?;
        let services: Vec<Value> = serde_json::from_str(&text)?;
        let found = services.iter().find(|service| service["id"] == endpoint);
        let found = found.with_context(|| format!("{endpoint} is not in {text}"))?;
        let addresses = found["addresses"].as_array().into_iter().flatten();
        Ok(addresses.filter_map(|address| address.as_str().map(str::to_owned)).collect())
    }

    /// Every container reaches what its interface's network has for a gateway.
    fn ping_all(&self) -> Result<()> {
        ensure!(!self.containers.is_empty(), "no container lives");
        for (netns, _) in self.containers.values() {
            let text = netns.run(["ip", "-o", "-4", "addr", "show", "dev", "eth0"])?.ok()?;
            let address = text.split_whitespace().nth(3).context("an address")?;
            let (network, _) = address.rsplit_once('.').context("an IPv4 address")?;
            netns.run(["ping", "-c", "1", "-W", "2", &format!("{network}.1")])?.ok()?;
        }
        Ok(())
    }

    /// Whether the engine's user has to be told that it does not go.
    fn must_be_refused(&self, recorded: &Recorded) -> bool {
        recorded.step.starts_with("18-") || self.is_of_refused(recorded)
    }

    fn is_of_refused(&self, recorded: &Recorded) -> bool {
        let making = ["NetworkDriver.CreateEndpoint", "NetworkDriver.Join"];
        making.contains(&recorded.call.as_str())
            && self.refused.iter().any(|id| id == recorded.field("NetworkID"))
    }

    /// Why a refusal is right.
    fn understand(&mut self, recorded: &Recorded, sentence: &str) -> Result<()> {
        let step = recorded.step.get(..2).unwrap_or_default();
        let expected = match (step, recorded.call.as_str()) {
            ("18", "IpamDriver.RequestAddress") => "is taken on network",
            ("34", "NetworkDriver.CreateNetwork") => {
                self.refused.push(recorded.field("NetworkID").to_owned());
                "add `--ipam-driver netctl`"
            }
            // Another driver's containers.
            ("37", "IpamDriver.RequestAddress") => "create the network with `-d netctl`",
            // An engine that was started anew asks again for what its containers have, and goes on whatever it hears.
            ("75" | "78" | "80" | "82", "IpamDriver.RequestAddress") => "is taken on network",
            // There is no Swarm.
            ("90", "NetworkDriver.CreateNetwork") => "is for networks of a Swarm",
            (_, _) if self.is_of_refused(recorded) && recorded.call.ends_with("Join") => {
                "is none that Docker has made on this host"
            }
            (_, "NetworkDriver.ProgramExternalConnectivity") if step == "35" => {
                "is none that Docker has made on this host"
            }
            (_, _) if self.is_of_refused(recorded) => "is none that netctl knows",
            _ => bail!("refused: {sentence}"),
        };
        ensure!(sentence.contains(expected), "{sentence}");
        Ok(())
    }
}

/// The option of the recorded plugin's own that a request has.
fn foreign(request: &Value) -> Option<&'static str> {
    let has = |option: &&str| {
        !request["Options"][GENERIC][*option].is_null() || !request["Options"][*option].is_null()
    };
    FOREIGN.iter().copied().find(has)
}

fn without_foreign(request: &Value) -> Value {
    let mut request = request.clone();
    for option in FOREIGN {
        for place in ["/Options", &format!("/Options/{GENERIC}")] {
            if let Some(Value::Object(options)) = request.pointer_mut(place) {
                options.remove(option);
            }
        }
    }
    request
}

fn replayed(store: Store) -> Result<()> {
    let lab = lab(1, store)?;
    let before = left::of(&lab)?;
    let mut engine = Engine::new(&lab);
    let recording = read(RECORDING)?;
    ensure!(recording.len() == 558, "{} calls", recording.len());
    for (number, recorded) in recording.iter().enumerate() {
        engine.replay(recorded).with_context(|| {
            format!(
                "call {}, {}: {} {}",
                number + 1,
                recorded.step,
                recorded.call,
                recorded.request
            )
        })?;
    }
    ensure!(engine.pinged > 20, "{} containers had a gateway", engine.pinged);
    drop(engine);
    eventually("nothing is left", Duration::from_secs(10), || {
        let now = left::of(&lab)?;
        ensure!(now == before, "{now:#?}");
        Ok(())
    })?;
    lab.end()
}

#[test]
fn recorded_calls_are_answered_acceptably_with_a_file() -> Result<()> {
    replayed(Store::File)
}

#[test]
fn recorded_calls_are_answered_acceptably_with_etcd() -> Result<()> {
    replayed(Store::Etcd)
}

#[test]
fn calls_of_later_engines_are_answered_too() -> Result<()> {
    let lab = lab(1, Store::File)?;
    let docker = Docker::of(lab.host(1));
    let skip = docker.ask("NetworkDriver.GwAllocCheck", &json!({"Options": {}}))?;
    ensure!(skip == json!({"SkipIPv4": false, "SkipIPv6": false}), "{skip}");
    let node =
        json!({"DiscoveryType": 1, "DiscoveryData": {"Address": "192.0.2.9", "Self": false}});
    for call in ["NetworkDriver.DiscoverNew", "NetworkDriver.DiscoverDelete"] {
        docker.ask(call, &node)?;
    }
    lab.end()
}
