//! Networks that two engines share.

use anyhow::{Result, ensure};
use testbed::Store;

use crate::{
    container::{Start, run},
    docker::Docker,
    lab,
};

/// ```text
///   h1: c1 ── nc… ═══ VXLAN ═══ nc… ── c2 :h2      `docker network create -d netctl --subnet …` on both
/// ```
fn two_engines(store: Store) -> Result<()> {
    let lab = lab(2, store)?;
    let (h1, h2) = (lab.host(1), lab.host(2));
    let (d1, d2) = (Docker::of(h1), Docker::of(h2));
    let (n1, p1) = d1.network("10.77.0.0/24")?;
    let (n2, p2) = d2.network("10.77.0.0/24")?;
    let c1 = run(h1, &d1, &Start::new("c1", &n1, &[&p1]))?;
    let c2 = run(h2, &d2, &Start::new("c2", &n2, &[&p2]))?;
    ensure!(c1.address() != c2.address(), "{} twice", c1.address());
    c1.ping(c2.address())?;
    c2.ping(c1.address())?;
    c1.ping("10.77.0.1")?;
    c1.ping(&h2.address())?;
    c1.stop(&d1)?;
    c2.stop(&d2)?;
    d1.remove(&n1, &[&p1])?;
    d2.remove(&n2, &[&p2])?;
    lab.end()
}

#[test]
fn containers_of_two_engines_reach_each_other_with_a_file() -> Result<()> {
    two_engines(Store::File)
}

#[test]
fn containers_of_two_engines_reach_each_other_with_etcd() -> Result<()> {
    two_engines(Store::Etcd)
}
