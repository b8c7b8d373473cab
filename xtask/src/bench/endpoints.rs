//! What an endpoint costs: made and removed one at a time beside many that are there, and many at once.
//!
//! By the daemon's API, over one connection for each client. In turn with it the kernel alone makes and removes the
//! like, so that what is the kernel's and what is netctl's can be told apart: see [`kernel`].

mod kernel;

use std::fs;
use std::ops::Range;
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};
use testbed::{Client, Lab, Netns, Store, Wiring};

use crate::measure::median;
use crate::{lab, say, setup, shell};

#[derive(Args)]
pub(crate) struct Options {
    /// How many endpoints are made at once, and are there while single ones are measured
    #[arg(long, default_value_t = 1000)]
    present: usize,
    /// How many single ones are measured
    #[arg(long, default_value_t = 200)]
    single: usize,
    /// How many clients make and remove many at once
    #[arg(long, default_value_t = 8)]
    clients: usize,
    /// With this store alone
    #[arg(long, value_enum)]
    store: Option<lab::Store>,
}

/// What one client spent on one endpoint, in seconds.
#[derive(Clone, Copy, Debug, Serialize)]
struct Cost {
    sandbox: f64,
    publish: f64,
    attach: f64,
    remove: f64,
    unpublish: f64,
    kernel_make: f64,
    kernel_remove: f64,
}

impl Cost {
    fn make(&self) -> f64 {
        self.sandbox + self.publish + self.attach
    }

    fn gone(&self) -> f64 {
        self.remove + self.unpublish
    }
}

/// What was measured with one store.
#[derive(Serialize)]
struct Measured {
    store: String,
    /// One client, with the others present.
    single: Vec<Cost>,
    /// Many clients, from none present to all and back.
    many: Vec<Cost>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    ensure!(testbed::is_root(), "endpoints are made of network namespaces and need root: use sudo");
    ensure!(options.clients > 0 && options.single > 0, "0 clients or endpoints measure nothing");
    ensure!(options.present <= 10_000, "{} endpoints are too many for a subnet", options.present);
    testbed::clean_on_interrupt(|| ())?;
    setup::ensure()?;
    let binary = shell::build_release()?;
    let mut all = Vec::new();
    let stores = options.store.map_or(vec![Store::File, Store::Etcd], |store| vec![store.into()]);
    for store in stores {
        say::remark(&format!("store {store}: {} endpoints", options.present));
        let binary = Some(binary.clone());
        let lab = testbed::Options {
            hosts: 1,
            store,
            wiring: Wiring::Bridge,
            binary,
            ..testbed::Options::default()
        };
        let lab = Lab::start(lab)?;
        all.push(measure(&lab, options).map_err(|error| lab.explain(error))?);
        lab.end()?;
    }
    let path = shell::target()?.join("bench").join("endpoints.json");
    fs::create_dir_all(path.parent().unwrap_or(&path))?;
    fs::write(&path, serde_json::to_string(&all)?)
        .with_context(|| format!("cannot write {}", path.display()))?;
    show(&all, options);
    out!("");
    say::done(&format!("all figures are in {}", path.display()));
    Ok(())
}

/// One endpoint in its own sandbox.
struct Endpoint<'a> {
    client: &'a mut Client,
    name: String,
}

impl Endpoint<'_> {
    fn ask(&mut self, method: &str, path: &str, body: &Value) -> Result<f64> {
        let begun = Instant::now();
        self.client.ok(method, path, body)?;
        Ok(begun.elapsed().as_secs_f64())
    }

    /// The time for the sandbox, for publishing, and for attaching.
    fn make(&mut self) -> Result<[f64; 3]> {
        let name = self.name.clone();
        Ok([
            self.ask("POST", "/v1/sandboxes", &json!({ "name": name }))?,
            self.ask("POST", "/v1/services", &json!({ "service": format!("{name}.bench") }))?,
            self.ask(
                "POST",
                &format!("/v1/services/{name}.bench/attach"),
                &json!({ "sandbox": name }),
            )?,
        ])
    }

    /// The time for the sandbox, with its attachment, and for the service.
    fn remove(&mut self) -> Result<[f64; 2]> {
        let name = self.name.clone();
        Ok([
            self.ask("DELETE", &format!("/v1/sandboxes/{name}"), &Value::Null)?,
            self.ask("DELETE", &format!("/v1/services/{name}.bench"), &Value::Null)?,
        ])
    }
}

fn measure(lab: &Lab, options: &Options) -> Result<Measured> {
    let host = lab.host(1);
    host.ok(["network", "create", "--subnet", "10.64.0.0/16", "bench"])?;
    // A host of its own, so that the daemon has nothing to look at.
    let beside = Netns::new(lab.dir(), "beside")?;
    let single = Mutex::new(Vec::new());
    let many = at_once(options, |share, barrier| {
        let mut client = Client::connect(&host.socket())?;
        let mut made = Vec::new();
        for number in share.clone() {
            let name = format!("e{number}");
            let [sandbox, publish, attach] =
                Endpoint { client: &mut client, name: name.clone() }.make()?;
            let (pair, kernel_make) = timed(|| kernel::Pair::make(&beside, number))?;
            made.push((name, pair, sandbox, publish, attach, kernel_make));
        }
        barrier.wait();
        if share.start == 0 {
            say::remark("single endpoints");
            *single.lock().map_err(|_panic| anyhow!("a client panicked"))? =
                one_by_one(&mut client, &beside, options)?;
        }
        barrier.wait();
        let mut costs = Vec::new();
        for (name, pair, sandbox, publish, attach, kernel_make) in made {
            let [remove, unpublish] = Endpoint { client: &mut client, name }.remove()?;
            let ((), kernel_remove) = timed(|| pair.remove(&beside))?;
            costs.push(Cost {
                sandbox,
                publish,
                attach,
                remove,
                unpublish,
                kernel_make,
                kernel_remove,
            });
        }
        Ok(costs)
    })?;
    let single = single.into_inner().map_err(|_panic| anyhow!("a client panicked"))?;
    Ok(Measured { store: lab.options().store.to_string(), single, many })
}

/// Has each client do its share of the work; they meet where they wait.
fn at_once(
    options: &Options,
    work: impl Fn(Range<usize>, &Barrier) -> Result<Vec<Cost>> + Sync,
) -> Result<Vec<Cost>> {
    let barrier = Barrier::new(options.clients);
    let share = |client: usize| options.present * client / options.clients;
    thread::scope(|scope| {
        let clients: Vec<_> = (0..options.clients)
            .map(|client| {
                let (work, barrier) = (&work, &barrier);
                scope.spawn(move || work(share(client)..share(client + 1), barrier))
            })
            .collect();
        let mut costs = Vec::new();
        for client in clients {
            costs.extend(client.join().map_err(|_panic| anyhow!("a client panicked"))??);
        }
        Ok(costs)
    })
}

fn one_by_one(client: &mut Client, beside: &Netns, options: &Options) -> Result<Vec<Cost>> {
    let mut costs = Vec::new();
    for number in 0..options.single {
        let mut endpoint = Endpoint { client, name: format!("single{number}") };
        let [sandbox, publish, attach] = endpoint.make()?;
        let (pair, kernel_make) = timed(|| kernel::Pair::make(beside, options.present + number))?;
        let [remove, unpublish] = endpoint.remove()?;
        let ((), kernel_remove) = timed(|| pair.remove(beside))?;
        costs.push(Cost {
            sandbox,
            publish,
            attach,
            remove,
            unpublish,
            kernel_make,
            kernel_remove,
        });
        // Namespaces go a little later: what is left of one must not be paid for by the next.
        thread::sleep(Duration::from_millis(5));
    }
    Ok(costs)
}

fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<(T, f64)> {
    let begun = Instant::now();
    let done = work()?;
    Ok((done, begun.elapsed().as_secs_f64()))
}

fn show(all: &[Measured], options: &Options) {
    for Measured { store, single, many } in all {
        for (costs, title) in [
            (single, format!("store {store}, 1 client, {} endpoints present", options.present)),
            (
                many,
                format!(
                    "store {store}, {} clients, {} endpoints",
                    options.clients, options.present
                ),
            ),
        ] {
            out!("\n{}", say::strong(&title));
            out!("{:<44} {:>10} {:>10}", "MILLISECONDS FOR EACH ENDPOINT", "MEDIAN", "P99");
            for (name, value) in ROWS {
                let values: Vec<f64> = costs.iter().map(|cost| value(cost) * 1e3).collect();
                out!("{name:<44} {:>10.2} {:>10.2}", median(values.iter().copied()), high(&values));
            }
            let middle =
                |value: fn(&Cost) -> f64| median(costs.iter().map(|cost| value(cost) * 1e3));
            let beyond = [
                middle(Cost::make) - middle(|cost| cost.kernel_make),
                middle(Cost::gone) - middle(|cost| cost.kernel_remove),
            ];
            out!(
                "beyond the kernel's own, of the medians: {:.2} to make, {:.2} to remove",
                beyond[0],
                beyond[1]
            );
        }
    }
}

type Row = (&'static str, fn(&Cost) -> f64);

const ROWS: &[Row] = &[
    ("make: sandbox, publish, attach", Cost::make),
    ("  sandbox create", |cost| cost.sandbox),
    ("  service publish", |cost| cost.publish),
    ("  service attach", |cost| cost.attach),
    ("the kernel alone: namespace, pair, address", |cost| cost.kernel_make),
    ("remove: sandbox, service", Cost::gone),
    ("  sandbox rm", |cost| cost.remove),
    ("  service unpublish", |cost| cost.unpublish),
    ("the kernel alone", |cost| cost.kernel_remove),
];

/// What 99 of 100 do not exceed.
fn high(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = (sorted.len() * 99).div_ceil(100).saturating_sub(1);
    sorted.get(place).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::high;

    #[test]
    fn ninety_nine_of_a_hundred_are_not_above_it() {
        let values: Vec<f64> = (1..=200).map(f64::from).collect();
        assert!((high(&values) - 198.0).abs() < 1e-9);
        assert!((high(&[7.0]) - 7.0).abs() < 1e-9);
    }
}
