//! The driver `remote`: real plugins, as processes at sockets, carry the packets of real sandboxes. Each test has a lab of
//! its own.

mod absent;
mod addresses;
mod plugin;
mod refusals;
mod steps;
mod told;
mod whole;

use anyhow::{Context as _, Result, anyhow, ensure};
use testbed::{Host, Lab, Options, Output};

use self::plugin::Plugin;

fn lab() -> Result<Lab> {
    Lab::start(Options { hosts: 1, ..Options::default() })
}

/// Runs `netctl` with these words, which must succeed, and gives its stdout.
fn ok(host: &Host, words: &str) -> Result<String> {
    host.ok(words.split(' '))
}

/// Runs a command in a sandbox, which must succeed, and gives its stdout.
fn exec(host: &Host, sandbox: &str, words: &str) -> Result<String> {
    host.ok(["exec", sandbox, "--"].into_iter().chain(words.split(' ')))
}

/// Fails unless `netctl` refuses these words with just that sentence.
fn refused(host: &Host, words: &str, sentence: &str) -> Result<()> {
    let output = host.netctl(words.split(' '))?;
    let Output { stdout, stderr, .. } = &output;
    let right =
        output.code() == 1 && stdout.is_empty() && *stderr == format!("error: {sentence}\n");
    right.then_some(()).ok_or_else(|| anyhow!("expected {sentence:?}: {output:?}"))
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
        let noted = plugin::files(&host.dir("state").join("plugins"))?;
        ensure!(noted.is_empty(), "noted: {noted:?}");
        Ok(())
    }
}
