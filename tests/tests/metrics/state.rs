//! How a host is doing: its maps, its store, its loop, its process.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use testbed::{Host, Lab, Signal, Store, eventually};

use crate::{SOON, address, join, lab, leave, scrape::Scrape, within};

fn played(lab: Lab, scenario: impl FnOnce(&Lab) -> Result<()>) -> Result<()> {
    scenario(&lab).map_err(|error| lab.explain(error))?;
    lab.end()
}

#[test]
fn maps_and_objects_follow_endpoints() -> Result<()> {
    played(lab(2, Store::File, &[])?, |lab| {
        let (h1, h2) = (lab.host(1), lab.host(2));
        let fill = |scrape: &Scrape, map| scrape.count("netctl_map_entries", &[("map", map)]);
        let empty = Scrape::of(h1)?;
        for map in ["NETWORKS", "PORTS", "FDB", "FLOOD", "MEMBERS", "NEIGH4", "NEIGH6", "VTEPS"] {
            ensure!(fill(&empty, map)? == 0, "{map}");
            ensure!(empty.count("netctl_map_max_entries", &[("map", map)])? > 0, "{map}");
        }
        join(h1, "a")?;
        let one = Scrape::of(h1)?;
        join(h1, "b")?;
        let two = Scrape::of(h1)?;
        for map in ["PORTS", "FDB", "NEIGH4", "FLOOD"] {
            ensure!(fill(&two, map)? == fill(&one, map)? + 1, "{map}: {two:?}");
        }
        join(h2, "far")?;
        eventually("h1 knows what is on h2", SOON, || {
            let scrape = Scrape::of(h1)?;
            let endpoints = |location| {
                let labels = [("network", "dev"), ("location", location)];
                scrape.count("netctl_endpoints", &labels)
            };
            let found = (endpoints("local")?, endpoints("remote")?, fill(&scrape, "VTEPS")?);
            ensure!(found == (2, 1, 1), "{found:?}");
            Ok(())
        })?;
        let scrape = Scrape::of(h1)?;
        for (name, expected) in [("networks", 1), ("sandboxes", 2), ("hosts", 2)] {
            let found = scrape.count(&format!("netctl_{name}"), &[])?;
            ensure!(found == expected, "{name}: {found}");
        }
        for (host, name) in [(h1, "a"), (h1, "b"), (h2, "far")] {
            leave(host, name)?;
        }
        eventually("all is gone", SOON, || {
            let scrape = Scrape::of(h1)?;
            ensure!(fill(&scrape, "PORTS")? == 0 && fill(&scrape, "FDB")? == 0, "{scrape:?}");
            ensure!(scrape.all("netctl_endpoints", &[]).is_empty(), "{scrape:?}");
            Ok(())
        })
    })
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

#[test]
fn a_store_that_is_away_is_seen_and_since_when() -> Result<()> {
    played(lab(1, Store::Etcd, &[])?, |lab| {
        let host = lab.host(1);
        let etcd = lab.etcd().expect("a lab with etcd");
        join(host, "a")?;
        let connected = |scrape: &Scrape| scrape.count("netctl_store_connected", &[]);
        let errors =
            |scrape: &Scrape| scrape.count("netctl_store_errors_total", &[("kind", "unavailable")]);
        let since = |scrape: &Scrape| {
            scrape.value("netctl_store_connection_changed_timestamp_seconds", &[])
        };
        let there = Scrape::of(host)?;
        ensure!(connected(&there)? == 1 && errors(&there)? == 0, "{there:?}");
        for operation in ["get", "list", "commit", "grant"] {
            let labels = [("operation", operation)];
            let name = "netctl_store_request_duration_seconds_count";
            ensure!(there.count(name, &labels)? > 0, "{operation}: {there:?}");
        }
        let syncs = there.count("netctl_sync_duration_seconds_count", &[])?;
        ensure!(syncs > 0 && there.value("netctl_sync_lag_seconds", &[])? < 5.0, "{there:?}");

        let stopped = now();
        etcd.stop(Signal::SIGTERM)?;
        eventually("it is seen to be away", SOON * 2, || {
            let scrape = Scrape::of(host)?;
            ensure!(connected(&scrape)? == 0 && errors(&scrape)? > 0, "{scrape:?}");
            ensure!(since(&scrape)? >= stopped.floor() && since(&scrape)? <= now(), "{scrape:?}");
            // What the host does goes on being told.
            ensure!(
                scrape.count("netctl_endpoint_packets_total", &[("direction", "receive")]).is_ok()
            );
            Ok(())
        })?;
        let started = now();
        etcd.start()?;
        eventually("it is seen to be back", SOON * 2, || {
            let scrape = Scrape::of(host)?;
            ensure!(connected(&scrape)? == 1 && since(&scrape)? >= started.floor(), "{scrape:?}");
            Ok(())
        })
    })
}

/// What `kernel.bpf_stats_enabled` switches on for all, a descriptor does for as long as it is open.
#[test]
fn programs_are_timed_where_the_kernel_does_it() -> Result<()> {
    played(lab(1, Store::File, &[])?, |lab| {
        let host = lab.host(1);
        join(host, "a")?;
        join(host, "b")?;
        let target = address(host, "b")?;
        let ping = || within(host, "a", &format!("ping -n -q -c 5 -i 0.01 -W 2 {target}"));
        let counting = aya::sys::enable_stats(aya::sys::Stats::RunTime)?;
        ping()?;
        let scrape = Scrape::of(host)?;
        let labels = [("program", "from_container")];
        let runs = scrape.count("netctl_program_runs_total", &labels)?;
        ensure!(runs >= 10, "10 packets, {runs} runs");
        ensure!(scrape.value("netctl_program_run_seconds_total", &labels)? > 0.0, "{scrape:?}");
        drop(counting);
        Ok(())
    })
}

#[test]
fn the_daemon_tells_of_itself() -> Result<()> {
    played(lab(1, Store::File, &[])?, |lab| {
        let host = lab.host(1);
        join(host, "a")?;
        join(host, "b")?;
        within(host, "a", "getent ahostsv4 b.dev")?;
        let scrape = Scrape::of(host)?;
        let version = host.run(["netctl", "--version"])?.ok()?;
        let version = version.trim().trim_start_matches("netctl ");
        ensure!(scrape.count("netctl_build_info", &[("version", version)])? == 1, "{scrape:?}");
        ensure!(scrape.count("netctl_dns_queries_total", &[("result", "answered")])? > 0);
        ensure!(scrape.count("netctl_dns_answer_duration_seconds_count", &[])? > 0);
        ensure!(scrape.count("netctl_reconcile_duration_seconds_count", &[("scope", "new")])? > 0);

        let proc = format!("/proc/{}", host.daemon_pid().unwrap_or_default());
        let statm = std::fs::read_to_string(format!("{proc}/statm"))?;
        let pages: f64 = statm.split(' ').nth(1).unwrap_or_default().parse()?;
        let resident = scrape.value("process_resident_memory_bytes", &[])?;
        ensure!((0.5..2.0).contains(&(resident / (pages * 4096.0))), "{resident}, {pages} pages");
        let files = std::fs::read_dir(format!("{proc}/fd"))?.count();
        let open = scrape.count("process_open_fds", &[])?;
        ensure!(open.abs_diff(files.try_into()?) < 10, "{open} is not about {files}");
        let age = now() - scrape.value("process_start_time_seconds", &[])?;
        ensure!((-2.0..300.0).contains(&age), "it is {age} s old");
        ensure!(scrape.value("process_cpu_seconds_total", &[])? > 0.0);
        Ok(())
    })
}

/// Who looks all the time is in nobody's way.
#[test]
fn operations_go_on_while_many_look() -> Result<()> {
    played(lab(1, Store::File, &[])?, |lab| {
        let host = lab.host(1);
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let look = || -> Result<u32> {
                let mut looks = 0;
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    Scrape::of(host)?;
                    looks += 1;
                }
                Ok(looks)
            };
            let lookers: Vec<_> = (0..3).map(|_| scope.spawn(look)).collect();
            let operated = (0..5).try_for_each(|_| comes_and_goes(host));
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            for looker in lookers {
                let looks = looker.join().expect("no panic")?;
                ensure!(looks > 0, "nothing was seen");
            }
            operated
        })
    })
}

fn comes_and_goes(host: &Host) -> Result<()> {
    join(host, "a")?;
    leave(host, "a")
}
