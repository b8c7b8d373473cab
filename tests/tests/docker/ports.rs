//! `docker run -p` on a network of netctl.

use anyhow::{Result, ensure};
use testbed::{EngineOptions, Netns, eventually};

use crate::{
    stage::{SOON, play, refused, run},
    who::{By, Who, ask, nobody},
};

fn sees(from: &Netns, to: &str, port: u16, name: &str) -> Result<()> {
    for by in [By::Tcp, By::Udp] {
        let (who, _) = ask(from, by, to, port)?;
        ensure!(who == name, "{who} answers at {to}:{port} by {by:?}");
    }
    Ok(())
}

/// ```text
///   h1: web, ports 8080 and 9000 ─┐
///   h2: far ──────────────────────┴─ network dev        external
/// ```
#[test]
fn ports_are_published_on_the_host() -> Result<()> {
    play(2, &EngineOptions::default(), |stage| {
        let (e1, e2, external) = (stage.engine(1), stage.engine(2), stage.lab.external());
        let (h1, h2) = (stage.host(1), stage.host(2));
        stage.network("--subnet 10.77.0.0/24 dev")?;
        let ports = "--network dev -p 8080:80/tcp -p 8080:80/udp -p 192.0.2.1:9000:80/tcp";
        run(e1, "web", ports)?;
        run(e2, "far", "--network dev")?;
        let (web, far) = (e1.netns_of("web")?, e2.netns_of("far")?);
        let servers = [Who::start(&web, "web", 80)?, Who::start(external.netns(), "external", 99)?];
        for from in [external.netns(), h2.netns(), &far] {
            sees(from, &h1.address(), 8080, "web")?;
            let (who, _) = ask(from, By::Tcp, &h1.address(), 9000)?;
            ensure!(who == "web", "{who}");
        }
        for (from, host) in [(&web, h1), (&far, h2)] {
            sees(from, &external.address(), 99, "external")?;
            let (_, source) = ask(from, By::Tcp, &external.address(), 99)?;
            ensure!(source.to_string() == host.address(), "{source}");
        }
        sees(h1.netns(), "127.0.0.1", 8080, "web")?;
        nobody(external.netns(), By::Tcp, &h1.address(), 80)?;
        nobody(external.netns(), By::Tcp, &h2.address(), 8080)?;
        refused(e1, "run --rm --network dev -p 8080:80 box true", &["8080"])?;
        drop(servers);

        // They go with the container, and come back with it.
        e1.ok(["stop", "web"])?;
        eventually("nobody answers", SOON, || {
            nobody(external.netns(), By::Tcp, &h1.address(), 8080)
        })?;
        run(e1, "heir", "--network dev -p 8080:80/tcp -p 8080:80/udp")?;
        let _heir = Who::start(&e1.netns_of("heir")?, "heir", 80)?;
        eventually("the heir answers", SOON, || sees(external.netns(), &h1.address(), 8080, "heir"))
    })
}
