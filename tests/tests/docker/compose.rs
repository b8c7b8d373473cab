//! Services of compose, which are containers by generated names with the service's name as an alias.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result, ensure};
use testbed::{Engine, EngineOptions, output};

use crate::{
    names::means,
    stage::{Stage, address, play, reaches},
};

/// How long compose may take.
const PATIENCE: Duration = Duration::from_mins(2);

/// A project: its services, each a container that does nothing, in the network that netctl calls `shop`.
fn project(stage: &Stage, name: &str, services: &[&str]) -> Result<String> {
    let each: String = services
        .iter()
        .map(|service| format!("  {service}:\n    image: box\n    networks: [shop]\n"))
        .collect::<Vec<_>>()
        .concat();
    let network = "networks:\n  shop:\n    driver: netctl\n    ipam:\n      driver: netctl\n      \
                   options: {netctl.network: shop}\n";
    let file = stage.lab.dir().join(format!("{name}.yml"));
    fs::write(&file, format!("version: '3.7'\nservices:\n{each}{network}"))?;
    Ok(file.display().to_string())
}

fn compose(engine: &Engine, name: &str, file: &str, words: &str) -> Result<()> {
    let own = ["docker-compose", "-p", name, "-f", file];
    output(engine.command(own.into_iter().chain(words.split(' '))), PATIENCE)?.ok().map(drop)
}

/// The names of a service's containers, which compose makes in one way or another.
fn containers(engine: &Engine, service: &str) -> Result<Vec<String>> {
    let filter = format!("label=com.docker.compose.service={service}");
    let names = engine.ok(["ps", "--filter", &filter, "--format", "{{.Names}}"])?;
    Ok(names.lines().map(ToOwned::to_owned).collect())
}

fn container(engine: &Engine, service: &str) -> Result<String> {
    containers(engine, service)?.pop().with_context(|| format!("no container of {service}"))
}

/// ```text
///   h1: services web (two of them) and db ─┐
///   h2: service far ───────────────────────┴─ network shop, made by compose
/// ```
#[test]
fn services_find_each_other_on_one_engine_and_on_two() -> Result<()> {
    play(2, &EngineOptions::default(), |stage| {
        let (e1, e2) = (stage.engine(1), stage.engine(2));
        let (one, two) = (project(stage, "one", &["web", "db"])?, project(stage, "two", &["far"])?);
        compose(e1, "one", &one, "up -d")?;
        compose(e2, "two", &two, "up -d")?;
        let (web, db, far) = (container(e1, "web")?, container(e1, "db")?, container(e2, "far")?);
        reaches(e1, &web, "db")?;
        reaches(e1, &db, "web")?;
        for service in ["web", "db", &db] {
            reaches(e2, &far, service)?;
        }
        reaches(e1, &web, "far")?;

        compose(e1, "one", &one, "up -d --scale web=2")?;
        let webs = containers(e1, "web")?;
        let webs = webs.iter().map(|web| address(e1, web, "one_shop"));
        let webs = webs.collect::<Result<Vec<_>>>()?;
        ensure!(webs.len() == 2, "{webs:?}");
        means(e2, &far, "web", &[&webs[0], &webs[1]])?;
        compose(e1, "one", &one, "restart -t 1 db")?;
        reaches(e2, &far, "db")?;
        // It is in the network that its file names, however compose calls that.
        let networks = stage.host(1).ok(["network", "ls"])?;
        ensure!(networks.contains(" shop ") && !networks.contains("one_shop"), "{networks}");

        compose(e1, "one", &one, "down -t 1")?;
        means(e2, &far, "web", &[])?;
        compose(e2, "two", &two, "down -t 1")
    })
}
