//! The driver `remote`: real plugins, as processes at sockets, carry the packets of real sandboxes. Each test has a lab of
//! its own.

mod absent;
mod addresses;
mod allotted;
mod deaths;
mod hosts;
mod plugin;
mod ports;
mod refusals;
mod told;
mod whole;
#[path = "../support/words.rs"]
mod words;

use anyhow::{Context as _, Result, ensure};
use testbed::{Host, Lab, Options};

use self::{
    plugin::Plugin,
    words::{exec, ok, refused},
};

fn lab() -> Result<Lab> {
    Lab::start(Options { hosts: 1, ..Options::default() })
}

/// A sandbox `box-NAME` with the service `NAME.far`.
fn container(host: &Host, name: &str) -> Result<()> {
    ok(host, &format!("sandbox create box-{name}"))?;
    ok(host, &format!("service publish {name}.far"))?;
    ok(host, &format!("service attach box-{name} {name}.far")).map(drop)
}

/// All that is in the daemon's store, but for what comes and goes by itself.
fn keys(lab: &Lab) -> Result<Vec<String>> {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let store = rusqlite::Connection::open_with_flags(lab.dir().join("store.db"), flags)?;
    let mut query = store.prepare("SELECT CAST(key AS TEXT) FROM entries ORDER BY key")?;
    let keys: Vec<String> = query.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let lasting = |key: &String| {
        !["hosts/", "ipam/pools-serial", "ipam/hints/"].iter().any(|prefix| key.starts_with(prefix))
    };
    Ok(keys.into_iter().filter(lasting).collect())
}

/// What is in the host's namespace.
fn links(host: &Host) -> Result<Vec<String>> {
    let text = host.run(["ip", "-o", "link"])?.ok()?;
    let name = |line: &str| {
        let name = line.split(": ").nth(1).context("a line of `ip -o link`")?;
        Ok(name.split('@').next().unwrap_or_default().to_owned())
    };
    text.lines().map(name).collect()
}

/// What there is with no network: nothing of a plugin's may be left of what is done after.
struct Resting {
    keys: Vec<String>,
    links: Vec<String>,
}

impl Resting {
    fn of(lab: &Lab) -> Result<Self> {
        Ok(Self { keys: keys(lab)?, links: links(lab.host(1))? })
    }

    fn check(&self, lab: &Lab, plugin: &Plugin) -> Result<()> {
        let host = lab.host(1);
        let (keys, links) = (keys(lab)?, links(host)?);
        ensure!(keys == self.keys, "in the store: {keys:#?}");
        ensure!(links == self.links, "links: {links:?}");
        let kept = plugin.state()?;
        ensure!(kept.is_empty(), "the plugin has {kept:?}");
        ensure!(plugin.allocations()? == 0, "the plugin has a number for a network still");
        let noted = plugin::files(&host.dir("state").join("plugins"))?;
        ensure!(noted.is_empty(), "noted: {noted:?}");
        Ok(())
    }
}
