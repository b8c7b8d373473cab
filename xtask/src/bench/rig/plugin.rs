//! Containers of two engines on a network that Docker's plugin made, with a daemon of netctl beside each engine.

use anyhow::Result;
use testbed::{Engine, EngineOptions, Lab, Netns, Options, Wiring};

use super::{Ends, Ground, Parts, engine};

const FAR: &str = "10.8.0.12";

pub(super) fn containers(ground: &Ground<'_>) -> Result<Ends> {
    let lab = Lab::start(Options {
        wiring: Wiring::Direct,
        arguments: Engine::arguments(),
        binary: Some(ground.binary.to_owned()),
        ..Options::default()
    })?;
    let built = plugged(&lab).map_err(|error| lab.explain(error))?;
    let ([near, far], engines) = built;
    let parts = Parts::Plugged(Box::new(engines), Box::new(lab));
    Ok(Ends { near, far, address: FAR.to_owned(), parts })
}

fn plugged(lab: &Lab) -> Result<([Netns; 2], [Engine; 2])> {
    let start = |number| Engine::start(lab.host(number).netns(), EngineOptions::default());
    let engines = [start(1)?, start(2)?];
    let [first, second] = &engines;
    let driver = ["network", "create", "-d", "netctl", "--ipam-driver", "netctl"];
    let network = ["--subnet", "10.8.0.0/24", "bench"];
    for engine in &engines {
        engine.ok(driver.iter().chain(&network))?;
    }
    let near = engine::container(first, "near", "10.8.0.11")?;
    let far = engine::container(second, "far", FAR)?;
    engine::reaches(&near, FAR)?;
    Ok(([near, far], engines))
}
