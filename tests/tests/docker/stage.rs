//! Hosts with an engine and a daemon each, and what of them is to be there in the end: nothing.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::Value;
use testbed::{
    Engine, EngineOptions, Families, Host, IMAGE, Lab, Options, Output, Store, eventually,
};

/// How long one host may take to know what happened on another, and Docker's own resolver to ask anew.
pub(crate) const SOON: Duration = Duration::from_secs(15);

/// Hosts that share an etcd, with an engine each.
pub(crate) struct Stage {
    // The engines go first: they would wait for the daemons.
    pub(crate) engines: Vec<Engine>,
    pub(crate) lab: Lab,
}

/// Plays `scenario`, and fails where something is left.
pub(crate) fn play(
    hosts: u8,
    options: &EngineOptions,
    scenario: impl FnOnce(&Stage) -> Result<()>,
) -> Result<()> {
    let lab = Lab::start(Options {
        hosts,
        store: Store::Etcd,
        families: Families::Both,
        arguments: Engine::arguments(),
        ..Options::default()
    })?;
    let start = |host: &Host| Engine::start(host.netns(), options.clone());
    let engines = std::thread::scope(|scope| {
        let all: Vec<_> = lab.hosts().iter().map(|host| scope.spawn(move || start(host))).collect();
        let join = |engine: std::thread::ScopedJoinHandle<'_, Result<Engine>>| {
            engine.join().map_err(|_panic| anyhow!("the engine's start panicked"))?
        };
        all.into_iter().map(join).collect::<Result<Vec<_>>>()
    });
    let engines = engines.map_err(|error| lab.explain(error))?;
    let stage = Stage { engines, lab };
    let before = stage.rest()?;
    let played = scenario(&stage).and_then(|()| stage.clear()).and_then(|()| {
        eventually("nothing is left", SOON, || {
            let after = stage.rest()?;
            ensure!(before == after, "{}", differences(&before, &after));
            Ok(())
        })
    });
    played.map_err(|error| stage.lab.explain(error))?;
    let Stage { engines, lab } = stage;
    drop(engines);
    lab.end()
}

fn differences(before: &[String], after: &[String]) -> String {
    let new = after.iter().filter(|line| !before.contains(line)).map(|line| format!("+ {line}"));
    let gone = before.iter().filter(|line| !after.contains(line)).map(|line| format!("- {line}"));
    new.chain(gone).collect::<Vec<_>>().join("\n")
}

impl Stage {
    /// The engine of host `number`, from 1.
    pub(crate) fn engine(&self, number: usize) -> &Engine {
        &self.engines[number - 1]
    }

    pub(crate) fn host(&self, number: usize) -> &Host {
        self.lab.host(number)
    }

    /// Makes a network on every engine by the same words, the last of which is its name.
    pub(crate) fn network(&self, words: &str) -> Result<()> {
        for engine in &self.engines {
            create(engine, words)?;
        }
        Ok(())
    }

    /// Removes every container and every network of netctl's from every engine.
    fn clear(&self) -> Result<()> {
        for engine in &self.engines {
            let containers = engine.ok(["ps", "-aq"])?;
            if !containers.is_empty() {
                engine.ok(["rm", "-f"].into_iter().chain(containers.lines()))?;
            }
            let networks = engine.ok(["network", "ls", "-q", "--filter", "driver=netctl"])?;
            if !networks.is_empty() {
                engine.ok(["network", "rm"].into_iter().chain(networks.lines()))?;
            }
        }
        Ok(())
    }

    /// All that there is of netctl's networks: keys, links, rules, records, entries of maps.
    fn rest(&self) -> Result<Vec<String>> {
        let etcd = self.lab.etcd().context("no etcd")?;
        let keys = etcd.ctl(["get", "--prefix", "--keys-only", ""])?;
        let stays = |key: &&str| {
            !key.is_empty() && !key.contains("hosts/") && !key.ends_with("ipam/pools-serial")
        };
        let mut all: Vec<String> =
            keys.lines().filter(stays).map(|key| format!("key {key}")).collect();
        for host in self.lab.hosts() {
            let mut note = |what: &str, lines: Vec<String>| {
                let lines = lines.into_iter().map(|line| format!("{} {what} {line}", host.name()));
                all.extend(lines);
            };
            let links = host.run(["ip", "-brief", "link"])?.ok()?;
            let name = |line: &str| line.split([' ', '@']).next().unwrap_or_default().to_owned();
            note("link", links.lines().map(name).collect());
            let rules = host.run(["nft", "list", "ruleset"])?.ok()?;
            let ours = |line: &&str| line.contains("netctl") || line.contains("nh-");
            note("rule", rules.lines().filter(ours).map(ToOwned::to_owned).collect());
            for map in ["fdb", "neigh"] {
                let rows: Value = serde_json::from_str(&host.ok([map, "--format", "json"])?)?;
                let rows = rows.as_array().context("no rows")?;
                note(map, rows.iter().map(ToString::to_string).collect());
            }
            let sandboxes = host.dir("run").join("sandboxes");
            let files = fs::read_dir(sandboxes).into_iter().flatten().flatten();
            note(
                "record",
                files.map(|file| file.file_name().to_string_lossy().into_owned()).collect(),
            );
        }
        all.sort();
        Ok(all)
    }
}

/// Makes a network of netctl's on an engine; the last of the words is its name.
pub(crate) fn create(engine: &Engine, words: &str) -> Result<()> {
    let driver = ["network", "create", "-d", "netctl", "--ipam-driver", "netctl"];
    engine.ok(driver.into_iter().chain(words.split(' '))).map(drop)
}

/// Runs a container that does nothing.
pub(crate) fn run(engine: &Engine, name: &str, words: &str) -> Result<()> {
    let words = words.split(' ').filter(|word| !word.is_empty());
    engine.ok(["run", "-d", "--name", name].into_iter().chain(words).chain([IMAGE])).map(drop)
}

/// What a container is to the engine, in a network.
pub(crate) fn attached(engine: &Engine, container: &str, network: &str) -> Result<Value> {
    let text = engine.ok(["inspect", container])?;
    let view: Value = serde_json::from_str(&text)?;
    let view = view.pointer(&format!("/0/NetworkSettings/Networks/{network}"));
    view.cloned().with_context(|| format!("container {container} is not in {network}: {text}"))
}

/// Its IPv4 address there.
pub(crate) fn address(engine: &Engine, container: &str, network: &str) -> Result<String> {
    let attached = attached(engine, container, network)?;
    let address = attached["IPAddress"].as_str().filter(|address| !address.is_empty());
    address
        .map(ToOwned::to_owned)
        .with_context(|| format!("{container} has no address: {attached}"))
}

/// Runs a command in a container, whatever comes of it.
pub(crate) fn exec(engine: &Engine, container: &str, words: &str) -> Result<Output> {
    engine.docker(["exec", container].into_iter().chain(words.split(' ')))
}

/// One echo, answered within a second, as soon as the one knows of the other.
pub(crate) fn reaches(engine: &Engine, container: &str, target: &str) -> Result<()> {
    eventually(&format!("{container} reaches {target}"), SOON, || {
        exec(engine, container, &format!("ping -c 1 -W 1 {target}"))?.ok().map(drop)
    })
}

/// Fails unless the engine refuses these words, and says all of `parts`.
pub(crate) fn refused(engine: &Engine, words: &str, parts: &[&str]) -> Result<()> {
    let output = engine.docker(words.split(' '))?;
    let right = !output.success() && parts.iter().all(|part| output.stderr.contains(part));
    ensure!(right, "expected a refusal with {parts:?}: {output:?}");
    Ok(())
}
