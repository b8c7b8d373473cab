//! A sandbox with one service, for as long as a measurement takes.

use std::{fs, net::IpAddr};

use super::super::{Error, Result};
use crate::{
    api::Client,
    kernel::{Netlink, Netns},
    model::{EndpointId, HostName, RunSpec, SandboxSpec, SandboxView, ServiceRef, ServiceSpec},
};

/// How the services of an end that serves begin.
const SERVER: &str = "bench-server-";
/// How those of an end that measures do.
const CLIENT: &str = "bench-client-";
/// How their sandboxes begin; the process that made them follows.
const SANDBOX: &str = "bench-";

/// Which end.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    Server,
    Client,
}

/// It stays until [`Place::remove`]; what a killed process left is removed by [`sweep`].
#[derive(Debug)]
pub(super) struct Place {
    sandbox: SandboxView,
}

impl Place {
    /// Makes it on `network`: a name, or `NAME.DRIVER` where it may have to be made.
    pub(super) async fn make(client: &Client, end: End, network: &str) -> Result<Self> {
        let prefix = match end {
            End::Server => SERVER,
            End::Client => CLIENT,
        };
        let service = format!("{prefix}{}.{network}", random());
        let service: ServiceRef =
            service.parse().map_err(|error| Error::Unmeasurable(format!("--network: {error}")))?;
        let own = Owner::current()?.name();
        let name = own.parse().map_err(|error| Error::Unmeasurable(format!("{own}: {error}")))?;
        let spec = RunSpec {
            sandbox: SandboxSpec { name: Some(name), ..SandboxSpec::default() },
            publish: vec![ServiceSpec::of(service)],
        };
        Ok(Self { sandbox: client.run(&spec).await? })
    }

    /// Its service's id.
    pub(super) fn endpoint(&self) -> Result<&EndpointId> {
        let interface = self.sandbox.interfaces.first();
        interface.map(|interface| &interface.endpoint).ok_or_else(without_interface)
    }

    /// Its address in the network.
    pub(super) fn address(&self) -> Result<IpAddr> {
        let interface = self.sandbox.interfaces.first().ok_or_else(without_interface)?;
        interface.addresses.first().map(ipnet::IpNet::addr).ok_or_else(without_interface)
    }

    pub(super) fn netns(&self) -> Result<Netns> {
        Ok(Netns::open(&self.sandbox.sandbox.netns)?)
    }

    /// The MTU of its interface, in bytes.
    pub(super) async fn mtu(&self) -> Result<u32> {
        let device = self.sandbox.interfaces.first().and_then(|each| each.device.as_deref());
        let device = device.ok_or_else(without_interface)?;
        let netlink = Netlink::open(&self.netns()?).await?;
        Ok(netlink.link_by_name(device).await?.mtu)
    }

    /// Removes it. Where what was done in it failed and this does too, that failure comes first.
    pub(super) async fn remove<T>(self, client: &Client, outcome: Result<T>) -> Result<T> {
        let removed = client.remove_sandbox(self.sandbox.sandbox.id.as_str()).await;
        match (removed, outcome) {
            (Ok(_), outcome) => outcome,
            (Err(left), Ok(_)) => Err(left.into()),
            (Err(left), Err(failed)) => Err(Error::Both { failed: Box::new(failed), left }),
        }
    }
}

/// Six bytes at random, in hexadecimal digits.
pub(super) fn random() -> String {
    EndpointId::random().short().to_owned()
}

fn without_interface() -> Error {
    Error::Unmeasurable(
        "the network gives its services no address: choose one whose driver does, with --network"
            .to_owned(),
    )
}

/// The service of the end that serves on `host`: its network, id and address.
pub(super) async fn server(
    client: &Client,
    host: &HostName,
) -> Result<(String, EndpointId, IpAddr)> {
    let services = client.services(None).await?;
    let of_host = services.into_iter().filter(|view| {
        let owner = view.endpoint.owner.as_ref();
        view.endpoint.name.as_str().starts_with(SERVER) && owner.is_some_and(|o| o.host == *host)
    });
    let latest = of_host.max_by_key(|view| view.endpoint.created);
    let found = latest.and_then(|view| {
        let address = view.endpoint.addresses.first()?.addr();
        Some((view.network_name.to_string(), view.endpoint.id, address))
    });
    found.ok_or_else(|| {
        Error::Unmeasurable(format!(
            "host {host} does not serve: run `netctl bench serve` there first, and leave it running"
        ))
    })
}

/// Removes the sandboxes on this host of measurements whose processes are gone.
pub(super) async fn sweep(client: &Client) -> Result<()> {
    for view in client.sandboxes().await? {
        let owner = Owner::of(view.sandbox.name.as_str());
        if owner.is_some_and(|owner| !owner.lives()) {
            client.remove_sandbox(view.sandbox.id.as_str()).await?;
        }
    }
    Ok(())
}

/// A process: its id, and when it started, in clock ticks since boot, so that it is never another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Owner {
    pid: u32,
    start: u64,
}

impl Owner {
    fn current() -> Result<Self> {
        let pid = std::process::id();
        let start = started(pid).ok_or_else(|| {
            Error::Unmeasurable("cannot read /proc/self/stat: is /proc mounted?".to_owned())
        })?;
        Ok(Self { pid, start })
    }

    /// The name of its sandbox.
    fn name(self) -> String {
        format!("{SANDBOX}{}-{}", self.pid, self.start)
    }

    fn of(name: &str) -> Option<Self> {
        let (pid, start) = name.strip_prefix(SANDBOX)?.split_once('-')?;
        Some(Self { pid: pid.parse().ok()?, start: start.parse().ok()? })
    }

    fn lives(self) -> bool {
        started(self.pid) == Some(self.start)
    }
}

/// Field 22 of `proc_pid_stat(5)`; the name before field 3 is in brackets and may hold anything.
fn started(pid: u32) -> Option<u64> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    line.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sandbox_tells_whose_it_is_and_whether_that_lives() {
        let own = Owner::current().expect("this process");
        assert_eq!(Owner::of(&own.name()), Some(own));
        assert!(own.lives());
        assert!(!Owner { start: own.start + 1, ..own }.lives());
        for other in ["bench", "bench-1", "bench-a-b", "web-1-2", "bench-1-2-3"] {
            assert_eq!(Owner::of(other), None, "{other}");
        }
        assert!(own.name().parse::<crate::model::Name>().is_ok());
    }
}
