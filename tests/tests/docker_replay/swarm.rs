//! Networks of a Swarm: the calls that a manager and a worker were recorded to make of a managed plugin, each to the second
//! socket of its host's daemon.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testbed::{Host, Lab, Netns, Store};

use crate::{
    docker::{Docker, send_call},
    lab, left,
    recorded::{Recorded, Words, read},
    rules::{Memory, Taken, take},
    stored,
};

const RECORDING: &str = include_str!("swarm.jsonl");

/// One node's engine.
struct Node<'a> {
    lab: &'a Lab,
    host: &'a Host,
    memory: Memory,
    containers: BTreeMap<String, Netns>,
}

impl Node<'_> {
    fn replay(&mut self, words: &mut Words, recorded: &Recorded) -> Result<()> {
        let request = words.apply(&recorded.request);
        let socket = self.host.dir("docker").join("swarm.sock");
        let answer = send_call(&socket, &recorded.call, &request)?;
        let Taken::Done(body) = take(&answer)? else { anyhow::bail!("refused: {answer:?}") };
        self.memory.check(&recorded.call, &request, &body)?;
        words.learn(&recorded.answered, &body);
        let endpoint = request["EndpointID"].as_str().unwrap_or_default();
        match recorded.call.as_str() {
            "NetworkDriver.GetCapabilities" => ensure!(body["Scope"] == "global", "{body}"),
            "NetworkDriver.AllocateNetwork" => {
                let (said, says) = (&recorded.answered["Options"], &body["Options"]);
                ensure!(said["dkn.vni"] == "4242" && says["netctl.network"].is_string(), "{body}");
            }
            "NetworkDriver.Join" => self.join(endpoint, &body)?,
            "NetworkDriver.Leave" => drop(self.containers.remove(endpoint)),
            _ => {}
        }
        Ok(())
    }

    fn join(&mut self, endpoint: &str, answer: &Value) -> Result<()> {
        let netns = Netns::new(self.lab.dir(), &endpoint[..12])?;
        let source = answer["InterfaceName"]["SrcName"].as_str().context("SrcName")?;
        let place = netns.path().display();
        self.host.netns().ip([format!("link set {source} netns {place} name eth0")])?;
        let services: Vec<Value> =
            serde_json::from_str(&self.host.ok(["service", "ls", "--format", "json"])?)?;
        let own =
            services.iter().find(|service| service["id"] == endpoint).context("it is known")?;
        let address = own["addresses"][0].as_str().context("an address")?;
        netns.ip([format!("addr add {address} dev eth0"), "link set eth0 up".to_owned()])?;
        self.containers.insert(endpoint.to_owned(), netns);
        Ok(())
    }
}

/// A manager's options for its nodes are ours, where the recorded plugin had others.
fn with_own_options(recorded: &Recorded, own: &Value) -> Recorded {
    let mut request = recorded.request.clone();
    let generic = "/Options/com.docker.network.generic";
    if let Some(options) =
        request.pointer_mut(generic).filter(|options| options["dkn.vni"].is_string())
    {
        options.clone_from(own);
    }
    if recorded.call == "NetworkDriver.AllocateNetwork" {
        request["Options"] = json!({});
    }
    Recorded {
        step: recorded.step.clone(),
        call: recorded.call.clone(),
        request,
        answered: recorded.answered.clone(),
    }
}

fn network_of(lab: &Lab) -> Result<String> {
    let networks: Vec<Value> =
        serde_json::from_str(&lab.host(1).ok(["network", "ls", "--format", "json"])?)?;
    Ok(networks[0]["id"].as_str().context("a network")?.to_owned())
}

/// In which order the two nodes made their calls was not recorded, but follows: the worker's network is the one that the
/// manager made, and its tasks have addresses that the manager gave.
fn in_order(recording: &[Recorded]) -> Vec<&Recorded> {
    let of = |node: &str| -> Vec<&Recorded> {
        recording.iter().filter(|recorded| recorded.step == node).collect()
    };
    let (manager, worker) = (of("manager"), of("worker"));
    let (before, after) = manager.split_at(30);
    // The worker's tasks end before the manager frees what they had.
    before.iter().chain(&worker).chain(after).copied().collect()
}

fn swarm(store: Store) -> Result<()> {
    let lab = lab(2, store)?;
    let before = left::of(&lab)?;
    let mut words = Words::default();
    for own in ["local", "global"] {
        words.set(&format!("dkm-{own}"), &format!("netctl-{own}"));
    }
    let node = |number| Node {
        lab: &lab,
        host: lab.host(number),
        memory: Memory::default(),
        containers: BTreeMap::new(),
    };
    let (mut manager, mut worker) = (node(1), node(2));
    let recording = read(RECORDING)?;
    let mut own = Value::Null;
    for (number, recorded) in in_order(&recording).into_iter().enumerate() {
        if number == 11 {
            own = json!({"netctl.network": network_of(&lab)?});
        }
        let recorded = with_own_options(recorded, &own);
        let node = if recorded.step == "manager" { &mut manager } else { &mut worker };
        node.replay(&mut words, &recorded).with_context(|| format!("{recorded:?}"))?;
        if recorded.step == "worker" && recorded.call == "NetworkDriver.Join" {
            // From a task on one node to one on the other.
            let task = worker.containers.values().next().context("a task")?;
            let place = "10.81.0.5";
            task.run(["ping", "-c", "1", "-W", "2", place])?
                .ok()
                .context("no other node's task")?;
        }
    }
    // What was recorded ends with tasks that are still there. They end, and then the nodes' networks.
    let id = "a1pgo66y7c8v6fj2648au2zxe";
    for (host, endpoint) in [(1, "61da17"), (2, "583b8a")] {
        let joined = recording.iter().find(|recorded| {
            recorded.call == "NetworkDriver.Join"
                && recorded.field("EndpointID").starts_with(endpoint)
        });
        let of = joined.context("it joined")?;
        let of = json!({"NetworkID": id, "EndpointID": of.field("EndpointID")});
        let socket = lab.host(host).dir("docker").join("swarm.sock");
        for call in
            ["NetworkDriver.Leave", "NetworkDriver.DeleteEndpoint", "NetworkDriver.DeleteNetwork"]
        {
            let Taken::Done(_) = take(&send_call(&socket, call, &of)?)? else {
                anyhow::bail!("{call} is refused");
            };
        }
    }
    let after = left::of(&lab)?;
    ensure!(after == before, "{after:#?}");
    drop((manager, worker));
    lab.end()
}

#[test]
fn a_swarms_calls_are_answered_acceptably_with_a_file() -> Result<()> {
    swarm(Store::File)
}

#[test]
fn a_swarms_calls_are_answered_acceptably_with_etcd() -> Result<()> {
    swarm(Store::Etcd)
}

/// A manager is not told that a network is internal, and its nodes are.
#[test]
fn a_swarms_internal_network_has_no_way_out() -> Result<()> {
    let lab = lab(1, Store::File)?;
    let swarm = Docker::at(lab.host(1).dir("docker").join("swarm.sock"), "swarm");
    let id = "a1pgo66y7c8v6fj2648au2zxe";
    for space in ["netctl-global", "netctl-local"] {
        let pool = json!({"AddressSpace": space, "Pool": "10.82.0.0/24", "Options": null});
        swarm.ask("IpamDriver.RequestPool", &pool)?;
        let data =
            json!([{"AddressSpace": space, "Gateway": "10.82.0.1/24", "Pool": "10.82.0.0/24"}]);
        let (call, options) = match space {
            "netctl-global" => ("NetworkDriver.AllocateNetwork", json!({})),
            _ => ("NetworkDriver.CreateNetwork", json!({"com.docker.network.internal": true})),
        };
        let asked =
            json!({"NetworkID": id, "Options": options, "IPv4Data": data, "IPv6Data": null});
        swarm.ask(call, &asked)?;
    }
    let networks: Vec<Value> =
        serde_json::from_str(&lab.host(1).ok(["network", "ls", "--format", "json"])?)?;
    ensure!(networks.len() == 1 && networks[0]["internal"] == true, "{networks:?}");
    lab.end()
}

#[test]
fn a_swarm_keeps_an_address_that_its_task_has_left() -> Result<()> {
    let lab = lab(1, Store::File)?;
    let host = lab.host(1);
    let swarm = Docker::at(host.dir("docker").join("swarm.sock"), "swarm");
    let pool = json!({"AddressSpace": "netctl-global", "Pool": "10.81.0.0/24", "Options": null});
    let global = swarm.ask("IpamDriver.RequestPool", &pool)?["PoolID"].clone();
    let network = "a1pgo66y7c8v6fj2648au2zxe";
    let data = json!([{"AddressSpace": "", "Gateway": "10.81.0.1/24", "Pool": "10.81.0.0/24"}]);
    let allocated = swarm.ask(
        "NetworkDriver.AllocateNetwork",
        &json!({"NetworkID": network, "Options": {}, "IPv4Data": data, "IPv6Data": null}),
    )?;
    let any = json!({"PoolID": global, "Address": "", "Options": null});
    let given = swarm.ask("IpamDriver.RequestAddress", &any)?["Address"].clone();
    ensure!(given == "10.81.0.2/24", "{given}");
    let pool = json!({"AddressSpace": "netctl-local", "Pool": "10.81.0.0/24", "Options": null});
    let local = swarm.ask("IpamDriver.RequestPool", &pool)?["PoolID"].clone();
    let data = json!([{"AddressSpace": "netctl-local", "Gateway": "10.81.0.1/24", "Pool": "10.81.0.0/24"}]);
    let options = json!({"com.docker.network.generic": allocated["Options"]});
    swarm.ask(
        "NetworkDriver.CreateNetwork",
        &json!({"NetworkID": network, "Options": options, "IPv4Data": data, "IPv6Data": []}),
    )?;
    let certain = |pool: &Value| json!({"PoolID": pool, "Address": "10.81.0.2", "Options": null});
    swarm.ask("IpamDriver.RequestAddress", &certain(&local))?;
    let endpoint = json!({
        "NetworkID": network, "EndpointID": "ab".repeat(32),
        "Interface": {"Address": "10.81.0.2/24", "AddressIPv6": "", "MacAddress": ""}, "Options": {},
    });
    swarm.ask("NetworkDriver.CreateEndpoint", &endpoint)?;
    // As another manager does that takes over.
    swarm.ask("IpamDriver.RequestAddress", &certain(&global))?;
    swarm.ask("NetworkDriver.DeleteEndpoint", &endpoint)?;
    swarm.ask("IpamDriver.ReleaseAddress", &certain(&local))?;
    let next = swarm.ask("IpamDriver.RequestAddress", &any)?["Address"].clone();
    ensure!(next == "10.81.0.3/24", "{next}");
    swarm.ask("IpamDriver.RequestAddress", &certain(&local)).context("its next task")?;
    swarm.ask("IpamDriver.ReleaseAddress", &certain(&global))?;
    swarm.ask("NetworkDriver.FreeNetwork", &json!({"NetworkID": network}))?;
    ensure!(host.ok(["network", "ls", "-q"])?.lines().count() == 1, "a node has it yet");
    swarm.ask("NetworkDriver.DeleteNetwork", &json!({"NetworkID": network}))?;
    swarm.ask("IpamDriver.ReleasePool", &json!({"PoolID": global}))?;
    let keys = stored::dump(&lab)?;
    ensure!(
        keys.keys().all(|key| !key.starts_with("docker/") && !key.starts_with("ipam/")),
        "{keys:#?}"
    );
    lab.end()
}
