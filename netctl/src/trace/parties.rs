//! Who sends the packet, and whom it is for.

use std::{fmt, net::IpAddr};

use super::{Error, Question, Scene};
use crate::model::{InterfaceView, SandboxView, ServiceView};

/// Who sends it.
pub(super) struct Sender<'a> {
    pub(super) sandbox: &'a SandboxView,
    /// The interface that it is to be from; the sandbox's own choice where none was named.
    pub(super) interface: Option<&'a InterfaceView>,
}

impl fmt::Display for Sender<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.interface {
            Some(interface) => f.write_str(&interface.qualified()),
            None => write!(f, "sandbox {}", self.sandbox.sandbox.name),
        }
    }
}

/// Whom it is for.
pub(super) struct Destination {
    pub(super) address: IpAddr,
    /// The service's name with its network, where it was named.
    name: Option<String>,
}

impl Destination {
    /// The end of the way back, to who has sent from this address.
    pub(super) fn of_answer(address: IpAddr, name: String) -> Self {
        Self { address, name: Some(name) }
    }

    /// Its name, or else its address.
    pub(super) fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.address.to_string())
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} ({})", self.address),
            None => write!(f, "{}", self.address),
        }
    }
}

/// Who `text` is: a service, an address, or else a sandbox of this host.
pub(super) fn sender<'a>(scene: &'a Scene, text: &str) -> Result<Sender<'a>, Error> {
    let address: Option<IpAddr> = text.parse().ok();
    let named = |interface: &InterfaceView| match address {
        Some(address) => interface.addresses.iter().any(|own| own.addr() == address),
        None => is_called(text, interface.service.as_str(), interface.network.as_str()),
    };
    let mut found = Vec::new();
    for sandbox in &scene.sandboxes {
        let own = sandbox.interfaces.iter().filter(|interface| named(interface));
        found.extend(own.map(|interface| (sandbox, interface)));
    }
    let whole = |sandbox: &&SandboxView| {
        let own = &sandbox.sandbox;
        own.name.as_str() == text || text.len() >= 4 && own.id.as_str().starts_with(text)
    };
    let sender = match found[..] {
        [(sandbox, interface)] => Sender { sandbox, interface: Some(interface) },
        [] => match scene.sandboxes.iter().find(whole) {
            Some(sandbox) => Sender {
                sandbox,
                // There is no choice where there is one.
                interface: sandbox.interfaces.first().filter(|_| sandbox.interfaces.len() == 1),
            },
            None => return Err(Error::Unknown(no_sender(scene, text))),
        },
        // By which of its interfaces is for its routes to say.
        [(sandbox, _), ref others @ ..]
            if others.iter().all(|(own, _)| own.sandbox.id == sandbox.sandbox.id) =>
        {
            Sender { sandbox, interface: None }
        }
        [(_, one), (_, other), ..] => {
            return Err(Error::Unknown(format!(
                "{text} is in several networks: write {} or {}",
                one.qualified(),
                other.qualified()
            )));
        }
    };
    if sender.sandbox.sandbox.host_stack {
        return Err(Error::Unknown(format!(
            "sandbox {} is the host's own network stack, whose packets netctl does not carry",
            sender.sandbox.sandbox.name
        )));
    }
    Ok(sender)
}

fn no_sender(scene: &Scene, text: &str) -> String {
    let called = |service: &&ServiceView| {
        is_called(text, service.endpoint.name.as_str(), service.network_name.as_str())
    };
    match scene.store.services.iter().find(called).map(|service| (service, &service.endpoint.owner))
    {
        Some((_, Some(owner))) => {
            format!("service {text} is on {}: run `netctl trace` there", owner.host)
        }
        Some((_, None)) => format!("service {text} is attached nowhere, so it sends nothing"),
        None => format!(
            "no service, sandbox or address {text} is on this host: see `netctl sandbox ls`"
        ),
    }
}

/// Who `text` is, as the sender would find it: of its own networks first.
pub(super) fn destination(
    scene: &Scene,
    sender: &Sender<'_>,
    question: &Question,
) -> Result<Destination, Error> {
    let text = &*question.destination;
    if let Ok(address) = text.parse::<IpAddr>() {
        if question.ipv6 && address.is_ipv4() {
            return Err(Error::Unknown(format!("{text} is an address of IPv4: leave -6 out")));
        }
        return Ok(Destination { address, name: None });
    }
    let called = |service: &&ServiceView| {
        let network = service.network_name.as_str();
        let names = service.endpoint.aliases.iter().chain([&service.endpoint.name]);
        names.into_iter().any(|name| is_called(text, name.as_str(), network))
    };
    let joined = |service: &ServiceView| {
        sender.sandbox.interfaces.iter().position(|own| own.network == service.network_name)
    };
    let found = scene.store.services.iter().filter(called);
    let service =
        found.min_by_key(|service| joined(service).unwrap_or(usize::MAX)).ok_or_else(|| {
            Error::Unknown(match &scene.store.away {
                None => format!("no service {text} is known: see `netctl service ls`, or name an address"),
                Some(_) => format!(
                    "the store does not answer, and no service {text} was known here before: name an address, or see \
                     `netctl status`"
                ),
            })
        })?;
    let speaks = |address: IpAddr| {
        let own = sender.sandbox.interfaces.iter().flat_map(|interface| &interface.addresses);
        own.into_iter().any(|net| net.addr().is_ipv4() == address.is_ipv4())
    };
    let addresses: Vec<IpAddr> =
        service.endpoint.addresses.iter().map(ipnet::IpNet::addr).collect();
    let wanted = |address: &IpAddr| address.is_ipv6() || !question.ipv6;
    let mut usable = addresses.iter().copied().filter(wanted);
    let address = usable.clone().find(|address| speaks(*address));
    let address = address.or_else(|| usable.next()).ok_or_else(|| {
        Error::Unknown(if addresses.is_empty() {
            format!("service {text} has no address: its network's driver gives none")
        } else {
            format!("service {text} has no address of IPv6: its network has none; leave -6 out")
        })
    })?;
    let name = service.qualified();
    Ok(Destination { address, name: Some(name) })
}

/// Whether a person who writes `text` means the service of this name in this network.
fn is_called(text: &str, name: &str, network: &str) -> bool {
    text.eq_ignore_ascii_case(name)
        || text.rsplit_once('.').is_some_and(|(service, of)| {
            service.eq_ignore_ascii_case(name) && of.eq_ignore_ascii_case(network)
        })
}
