//! What a question means to the one who asks it.

use std::net::IpAddr;

use hickory_proto::rr::{Name, RecordType};
use ipnet::IpNet;

use super::{
    directory::{Directory, View},
    zone::{self, Zone},
};
use crate::model::{Endpoint, NetworkId, Transport};

/// What there is to say to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Resolution {
    /// Addresses of the type asked for; at least one.
    Addresses(Vec<IpAddr>),
    /// Names, as `service.network`; at least one.
    Names(Vec<String>),
    /// Where a port is; at least one.
    Ports(Vec<Target>),
    /// The name is ours, but has nothing of the type asked for.
    NoData,
    /// There is no such name, and nobody else is asked.
    NoSuchName,
    /// The name is not ours.
    Forward(Outside),
    /// The network that was asked in is not known, which passes.
    NotReady,
}

/// A port of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// As `service.network`.
    pub(super) name: String,
    pub(super) port: u16,
    pub(super) addresses: Vec<IpAddr>,
}

/// Who is asked for names that are not ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outside {
    /// The name servers of the host.
    OfHost,
    /// Those of the asker; at least one.
    Own(Vec<IpAddr>),
    /// The one that the question was meant for.
    Meant,
}

impl Directory {
    /// Resolves `name` for `asker`, which asked at the gateway of `network`.
    ///
    /// Only the networks that the asker joined are looked into, in that order. Any other name is the outside's
    /// business, single labels too: as in Docker's resolver, since a host's own search for bare names must go on
    /// working in its containers. The price is that a mistyped service name is seen by the host's resolvers. A name
    /// that is published is ours also while nobody can be reached by it: a stranger's answer would be worse than none.
    pub(super) fn resolve(
        &self,
        network: &NetworkId,
        asker: IpAddr,
        name: &Name,
        kind: RecordType,
    ) -> Resolution {
        let Some(view) = self.seen_by(network, asker) else { return Resolution::NotReady };
        let ours = match reverse(name) {
            Some(address) => by_address(&view, address, kind),
            None => by_name(&view, name, kind),
        };
        ours.unwrap_or_else(|| {
            let bare = name.num_labels() == 1;
            match outside(&view) {
                Some(outside) if !(bare && view.asker.is_some_and(|asker| asker.qualifies)) => {
                    Resolution::Forward(outside)
                }
                Some(_) | None => Resolution::NoSuchName,
            }
        })
    }
}

/// Who may be asked for names from outside. A sandbox that is only in internal networks reaches nothing outside them, and
/// a question would get out what cannot get out otherwise (CVE-2024-29018): it may ask servers inside.
fn outside(view: &View<'_>) -> Option<Outside> {
    let zones = || view.zones.iter().map(|(_, zone)| zone);
    let internal = zones().all(|zone| zone.internal);
    let own = view.asker.map_or(&[][..], |asker| &asker.servers);
    if own.is_empty() {
        let led = view.asker.is_some_and(|asker| asker.led);
        let outside = if led { Outside::Meant } else { Outside::OfHost };
        let elsewhere = view.asker.is_some_and(|asker| asker.elsewhere);
        return (!internal || elsewhere).then_some(outside);
    }
    let inside = |server: &&IpAddr| {
        zones().flat_map(|zone| &zone.subnets).any(|subnet| subnet.contains(*server))
    };
    let reached: Vec<IpAddr> =
        own.iter().filter(|server| !internal || inside(server)).copied().collect();
    (!reached.is_empty()).then_some(Outside::Own(reached))
}

/// The address of a name under `in-addr.arpa` or `ip6.arpa` that has all its digits.
fn reverse(name: &Name) -> Option<IpAddr> {
    let net = name.parse_arpa_name().ok()?;
    (net.prefix_len() == net.max_prefix_len()).then(|| net.addr())
}

fn by_address(view: &View<'_>, address: IpAddr, kind: RecordType) -> Option<Resolution> {
    let mut zones = view.zones.iter().map(|(_, zone)| *zone);
    if let Some((zone, members)) = zones.clone().find_map(|zone| Some((zone, zone.at(address)?))) {
        return Some(if kind == RecordType::PTR {
            Resolution::Names(members.iter().map(|member| qualified(member, zone)).collect())
        } else {
            Resolution::NoData
        });
    }
    let inside = zones.any(|zone| zone.subnets.iter().any(|net| net.contains(&address)));
    inside.then_some(Resolution::NoSuchName)
}

fn addresses(member: &Endpoint) -> impl Iterator<Item = IpAddr> {
    member.addresses.iter().map(IpNet::addr)
}

fn qualified(member: &Endpoint, zone: &Zone) -> String {
    format!("{}.{}", member.name, zone.name)
}

/// A name with the form of ours: `[_PORT._PROTO.]SERVICE[.NETWORK]`, in lower case.
#[derive(Debug)]
struct Form {
    port: Option<(String, Transport)>,
    service: String,
    network: Option<String>,
}

impl Form {
    fn of(name: &Name) -> Option<Self> {
        let mut labels: Vec<String> = name
            .iter()
            .take(5)
            .map(|label| str::from_utf8(label).map(str::to_ascii_lowercase))
            .collect::<Result<_, _>>()
            .ok()?;
        let port = if let [port, transport, _, ..] = &labels[..]
            && let Some(port) = port.strip_prefix('_')
            && let Some(Ok(transport)) = transport.strip_prefix('_').map(str::parse)
        {
            let port = port.to_owned();
            labels.drain(..2);
            Some((port, transport))
        } else {
            None
        };
        let mut labels = labels.into_iter();
        let form = Self { port, service: labels.next()?, network: labels.next() };
        labels.next().is_none().then_some(form)
    }
}

fn by_name(view: &View<'_>, name: &Name, kind: RecordType) -> Option<Resolution> {
    let form = Form::of(name)?;
    let (zone, members) = found(view, &form)?;
    if members.is_empty() {
        return Some(Resolution::NoSuchName);
    }
    let Some((called, transport)) = form.port else {
        let of_kind = |address: &IpAddr| {
            kind == if address.is_ipv4() { RecordType::A } else { RecordType::AAAA }
        };
        let addresses = members.iter().copied().flat_map(addresses);
        let addresses: Vec<IpAddr> = addresses.filter(of_kind).collect();
        let none = addresses.is_empty();
        return Some(if none { Resolution::NoData } else { Resolution::Addresses(addresses) });
    };
    let targets: Vec<Target> = members
        .iter()
        .flat_map(|member| {
            zone::ports(member, &called, transport).into_iter().map(move |p| (*member, p))
        })
        .map(|(member, port)| Target {
            name: qualified(member, zone),
            port,
            addresses: addresses(member).collect(),
        })
        .collect();
    Some(match (targets.is_empty(), kind) {
        (true, _) => Resolution::NoSuchName,
        (false, RecordType::SRV) => Resolution::Ports(targets),
        (false, _) => Resolution::NoData,
    })
}

/// Who is meant, and in which network: what the asker alone calls so first, then what is published, in the first network
/// that has somebody who can be reached. Nothing where the name is not ours; nobody where it is, and cannot be reached.
fn found<'a>(view: &View<'a>, form: &Form) -> Option<(&'a Zone, Vec<&'a Endpoint>)> {
    let zones = || {
        view.zones
            .iter()
            .filter(|(_, zone)| form.network.as_ref().is_none_or(|name| *name == zone.name))
    };
    let linked = zones().flat_map(|(id, zone)| {
        view.aliases(id)
            .filter(|link| link.alias.as_str().eq_ignore_ascii_case(&form.service))
            .map(|link| zone.named(&link.name.as_str().to_ascii_lowercase()).unwrap_or_default())
            .map(|members| (*zone, members))
    });
    let published = zones().filter_map(|(_, zone)| Some((*zone, zone.named(&form.service)?)));
    let mut taken = None;
    for (zone, members) in linked {
        if !members.is_empty() {
            return Some((zone, members));
        }
        taken = Some((zone, members));
    }
    if taken.is_some() {
        return taken;
    }
    for (zone, members) in published {
        if !members.is_empty() {
            return Some((zone, members));
        }
        taken = Some((zone, members));
    }
    taken
}

#[cfg(test)]
mod tests;
