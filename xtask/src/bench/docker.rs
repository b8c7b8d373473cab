//! What people feel of netctl as the network of Docker's containers: how long `docker run` takes beside Docker's own
//! bridge networks, of one engine and in turn; and how fast containers of two engines are beside Docker's own overlay and
//! beside the bare underlay.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use serde_json::{Map, Value, json};
use testbed::{Engine, EngineOptions, IMAGE, Lab};

use super::sampling::Sampling;
use super::times::{self, Times};
use super::{compare, figure, quiet, table};
use crate::{lab, say, setup, shell};

/// Runs before the first that counts.
const WARM_UP: usize = 3;
/// How much longer a container may take to run on a network of netctl, at the median.
const LIMIT: Duration = Duration::from_millis(50);

#[derive(Args)]
pub(crate) struct Options {
    /// How often containers are run on each network
    #[arg(long, default_value_t = 20)]
    runs: usize,
    /// What the daemon of netctl keeps its state in while containers are run
    #[arg(long, value_enum, default_value = "etcd")]
    store: lab::Store,
    #[command(flatten)]
    sampling: Sampling,
}

impl Options {
    fn check(&self) -> Result<()> {
        ensure!((1..=1000).contains(&self.runs), "{} runs: ask for 1 to 1000", self.runs);
        self.sampling.check()
    }
}

pub(super) fn run(options: &Options) -> Result<()> {
    options.check()?;
    ensure!(testbed::is_root(), "engines run in namespaces and need root: use sudo");
    testbed::clean_on_interrupt(|| ())?;
    setup::ensure()?;
    let binary = shell::build_release()?;
    let runs = containers(options, &binary)?;
    let report = compare(figure::OF_ENGINES, options.sampling, &binary)?;
    runs.show();
    table::show(&report);
    out!("");
    times::keep("docker", &json!({ "runs": runs.raw(), "paths": report.raw() }))
}

/// How long things took on one network.
struct Spent {
    whole: Times,
    start: Times,
    remove: Times,
}

impl Spent {
    /// One container that ends by itself, and one that is started and removed, each as a person would have it.
    fn once(&mut self, engine: &Engine, network: &str) -> Result<()> {
        self.whole.add(timed(engine, &["run", "--rm", "--network", network, IMAGE, "true"])?);
        self.start
            .add(timed(engine, &["run", "-d", "--name", "one", "--network", network, IMAGE])?);
        self.remove.add(timed(engine, &["rm", "-f", "one"])?);
        Ok(())
    }

    fn all(&self) -> [&Times; 3] {
        [&self.whole, &self.start, &self.remove]
    }
}

/// What was measured of containers that were run.
struct Runs {
    /// The one that an engine has by itself: its containers have no names.
    bridge: Spent,
    /// One that was made, whose containers have names as those of netctl's do.
    made: Spent,
    netctl: Spent,
    /// Runs before which the machine did not become quiet.
    disturbed: usize,
}

impl Runs {
    fn new() -> Self {
        let spent = |[whole, start, remove]: [&'static str; 3]| Spent {
            whole: Times::new(whole),
            start: Times::new(start),
            remove: Times::new(remove),
        };
        Self {
            bridge: spent([
                "`docker run --rm`, Docker's default bridge",
                "`docker run -d`, Docker's default bridge",
                "`docker rm -f`, Docker's default bridge",
            ]),
            made: spent([
                "`docker run --rm`, a bridge network",
                "`docker run -d`, a bridge network",
                "`docker rm -f`, a bridge network",
            ]),
            netctl: spent([
                "`docker run --rm`, netctl",
                "`docker run -d`, netctl",
                "`docker rm -f`, netctl",
            ]),
            disturbed: 0,
        }
    }

    fn all(&self) -> impl Iterator<Item = &Times> {
        let kinds = 0..3;
        let networks = [&self.bridge, &self.made, &self.netctl].map(Spent::all);
        kinds.flat_map(move |kind| networks.map(|times| times[kind]))
    }

    fn show(&self) {
        if self.disturbed > 0 {
            let warning = say::bad("warning:");
            out!("\n{warning} other work kept the machine busy before {} runs", self.disturbed);
        }
        times::show(&self.all().collect::<Vec<_>>());
        self.show_beside(&self.bridge, "Docker's default bridge");
        self.show_beside(&self.made, "a bridge network of Docker's");
    }

    fn show_beside(&self, other: &Spent, name: &str) {
        let milliseconds = |spent: &Spent| Some(spent.whole.quantile(0.5)?.as_secs_f64() * 1e3);
        let (Some(own), Some(other)) = (milliseconds(&self.netctl), milliseconds(other)) else {
            return;
        };
        let limit = LIMIT.as_secs_f64() * 1e3;
        let within = if own - other <= limit { say::good("within") } else { say::bad("beyond") };
        out!(
            "`docker run --rm` on netctl is {:+.1} ms at the median ({:.2} times as long) beside {name}: {within} the \
             {limit} ms allowed",
            own - other,
            own / other,
        );
    }

    fn raw(&self) -> Value {
        let values: Map<_, _> =
            self.all().map(|times| (times.title().to_owned(), times.raw())).collect();
        json!({ "unit": "us", "disturbed": self.disturbed, "values": values })
    }
}

/// Runs containers on all networks of one engine.
fn containers(options: &Options, binary: &Path) -> Result<Runs> {
    let lab = Lab::start(testbed::Options {
        hosts: 1,
        store: options.store.into(),
        arguments: Engine::arguments(),
        binary: Some(binary.to_owned()),
        ..testbed::Options::default()
    })?;
    let runs = in_turn(&lab, options.runs).map_err(|error| lab.explain(error))?;
    lab.end()?;
    Ok(runs)
}

fn in_turn(lab: &Lab, count: usize) -> Result<Runs> {
    let engine = Engine::start(lab.host(1).netns(), EngineOptions::default())?;
    let driver = ["network", "create", "-d", "netctl", "--ipam-driver", "netctl"];
    engine.ok(driver.iter().chain(&["--subnet", "10.8.0.0/24", "bench"]))?;
    engine.ok(["network", "create", "made"])?;
    let mut warming = Runs::new();
    let mut runs = Runs::new();
    for run in 0..WARM_UP + count {
        let into = if run < WARM_UP { &mut warming } else { &mut runs };
        if run >= WARM_UP && (run - WARM_UP).is_multiple_of(10) {
            say::remark(&format!("run {} of {count}", run - WARM_UP + 1));
        }
        if !quiet::wait()? {
            into.disturbed += 1;
        }
        let mut order =
            [(&mut into.bridge, "bridge"), (&mut into.made, "made"), (&mut into.netctl, "bench")];
        // None always follows the same other.
        if run % 2 == 1 {
            order.reverse();
        }
        for (spent, network) in order {
            spent.once(&engine, network)?;
        }
    }
    engine.ok(["network", "rm", "bench", "made"])?;
    Ok(runs)
}

fn timed(engine: &Engine, words: &[&str]) -> Result<Duration> {
    let began = Instant::now();
    let done = engine.ok(words);
    let time = began.elapsed();
    done.with_context(|| format!("docker {}", words.join(" ")))?;
    Ok(time)
}

#[cfg(test)]
mod tests {
    use super::super::sampling::tests::told;
    use super::*;

    #[test]
    fn what_measures_nothing_or_takes_for_ever_is_refused_with_what_to_ask_for() {
        for (words, sentence) in [
            ("--runs 0", "0 runs: ask for 1 to 1000"),
            ("--runs 1001", "1001 runs: ask for 1 to 1000"),
            ("--rounds 0", "0 rounds measure nothing: ask for 5 or more"),
        ] {
            let error = told::<Options>(words).check().expect_err(words);
            assert_eq!(error.to_string(), sentence);
        }
        told::<Options>("").check().expect("defaults");
    }
}
