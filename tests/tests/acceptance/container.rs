//! A container: a sandbox with one service.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use testbed::{Host, Lab, Netns, Output, eventually};

use crate::{echoes::Echoes, stage::field};

/// How long another host may take to know what one did.
pub(crate) const SOON: Duration = Duration::from_secs(5);

/// A sandbox on a host, and the service that is attached to it.
pub(crate) struct Container<'a> {
    pub(crate) host: &'a Host,
    pub(crate) name: String,
    pub(crate) service: String,
    pub(crate) network: String,
}

impl<'a> Container<'a> {
    /// Begins to send echoes to another, a hundred a second.
    pub(crate) fn echoes(&self, to: &Self) -> Result<Echoes> {
        Echoes::start(self.host, &self.name, &to.address()?, "0.01", "echoes")
    }

    /// Makes the sandbox `box-SERVICE`, publishes `service` on `network` and attaches it; `further` are arguments of
    /// `netctl service publish`.
    pub(crate) fn new(
        host: &'a Host,
        service: &str,
        network: &str,
        further: &[&str],
    ) -> Result<Self> {
        let (service, network) = (service.to_owned(), network.to_owned());
        let this = Self { host, name: format!("box-{service}"), service, network };
        host.ok(["sandbox", "create", &this.name])?;
        this.publish(further)?;
        this.attach()?;
        Ok(this)
    }

    /// `SERVICE.NETWORK`.
    pub(crate) fn reference(&self) -> String {
        format!("{}.{}", self.service, self.network)
    }

    pub(crate) fn publish(&self, further: &[&str]) -> Result<()> {
        let reference = self.reference();
        let words = ["service", "publish"].iter().chain(further).copied();
        self.host.ok(words.chain([reference.as_str()])).map(drop)
    }

    pub(crate) fn attach(&self) -> Result<()> {
        self.host.ok(["service", "attach", &self.name, &self.reference()]).map(drop)
    }

    pub(crate) fn detach(&self) -> Result<()> {
        self.host.ok(["service", "detach", &self.name, &self.reference()]).map(drop)
    }

    /// Its first address, without a prefix length.
    pub(crate) fn address(&self) -> Result<String> {
        self.address_at(0)
    }

    /// Its address at a place of the list, IPv4 before IPv6, without a prefix length.
    pub(crate) fn address_at(&self, place: usize) -> Result<String> {
        let words = ["service", "inspect", &self.reference()];
        let address = field(self.host, &words, &format!("/0/addresses/{place}"))?;
        Ok(address.split('/').next().unwrap_or_default().to_owned())
    }

    pub(crate) fn octets(&self) -> Result<[u8; 4]> {
        Ok(self.address()?.parse::<std::net::Ipv4Addr>()?.octets())
    }

    /// Its link-layer address, as the kernel inside shows it.
    pub(crate) fn mac(&self) -> Result<[u8; 6]> {
        let link = self.ok(&["ip", "-brief", "link", "show", "dev", "eth0"])?;
        let mac = link.split_whitespace().nth(2).context("no address")?;
        let mac: netctl_common::MacAddr =
            mac.parse().map_err(|error| anyhow::anyhow!("{mac}: {error}"))?;
        Ok(mac.0)
    }

    /// Its network namespace, for sockets of the test's own.
    pub(crate) fn netns(&self, lab: &Lab) -> Result<Netns> {
        let path = field(self.host, &["sandbox", "inspect", &self.name], "/0/netns")?;
        Ok(Netns::open(lab.dir(), path.as_ref()))
    }

    /// Runs a command inside, whatever comes of it.
    pub(crate) fn exec(&self, words: &[&str]) -> Result<Output> {
        self.host.netctl(["exec", &self.name, "--"].iter().chain(words).copied())
    }

    /// Runs a command inside, which must succeed, and gives its stdout.
    pub(crate) fn ok(&self, words: &[&str]) -> Result<String> {
        self.exec(words)?.ok().with_context(|| format!("in {} on {}", self.name, self.host.name()))
    }

    /// One echo, answered within a second.
    pub(crate) fn ping(&self, target: &str) -> Result<()> {
        self.ok(&["ping", "-c", "1", "-W", "1", target]).map(drop)
    }

    /// The same, as soon as this host knows what another did.
    pub(crate) fn reaches(&self, target: &str) -> Result<()> {
        let what = format!("{} on {} reaches {target}", self.name, self.host.name());
        eventually(&what, SOON, || self.ping(target))
    }

    /// Three echoes, none answered.
    pub(crate) fn does_not_reach(&self, target: &str) -> Result<()> {
        let output = self.exec(&["ping", "-c", "3", "-i", "0.1", "-W", "1", target])?;
        ensure!(!output.success(), "{} reaches {target}: {output:?}", self.name);
        Ok(())
    }

    /// What a name means inside; nothing if it is unknown.
    pub(crate) fn resolve(&self, name: &str) -> Result<Option<String>> {
        self.resolve_in("ahostsv4", name)
    }

    /// The same of IPv6.
    pub(crate) fn resolve6(&self, name: &str) -> Result<Option<String>> {
        // Without an address of IPv6, getent shows those of IPv4 in the form of IPv6.
        Ok(self.resolve_in("ahostsv6", name)?.filter(|address| !address.starts_with("::ffff:")))
    }

    fn resolve_in(&self, database: &str, name: &str) -> Result<Option<String>> {
        let output = self.exec(&["getent", database, name])?;
        Ok(output.stdout.split_whitespace().next().map(ToOwned::to_owned))
    }
}

/// Every container reaches every other, by name, by name with network, and by address.
pub(crate) fn all_pairs(containers: &[&Container<'_>]) -> Result<()> {
    for to in containers {
        let address = to.address()?;
        for from in containers.iter().filter(|from| from.name != to.name) {
            for target in [&to.service, &to.reference(), &address] {
                from.reaches(target)?;
            }
            let resolved = from.resolve(&to.service)?;
            ensure!(resolved.as_ref() == Some(&address), "{}: {resolved:?}", to.service);
        }
    }
    Ok(())
}

/// Ends echoes, and fails where any was lost.
pub(crate) fn end_whole(echoes: Echoes) -> Result<()> {
    let (sent, lost) = echoes.end()?;
    ensure!(lost.is_empty(), "of {sent} echoes these were lost: {lost:?}");
    Ok(())
}
