//! The result of ADD (section 5), in the version that was asked for.

use std::{net::IpAddr, path::Path};

use serde_json::{Map, Value, json};

use super::{
    config::Head,
    error::{Code, Error, Result},
    version::Version,
};
use crate::{
    kernel::{Link, Route},
    model::{JoinSpec, JoinView, ResolverOption, SearchDomain},
};

/// What a container has, after what plugins before this one gave it.
pub(super) struct Success {
    version: Version,
    interfaces: Vec<Value>,
    ips: Vec<Value>,
    routes: Vec<Value>,
    dns: Map<String, Value>,
}

impl Success {
    /// What plugins before this one gave; nothing where it is the first.
    pub(super) fn after(head: &Head) -> Result<Self> {
        let list = |name: &str| match head.previous.as_ref().and_then(|result| result.get(name)) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(list)) => Ok(list.clone()),
            Some(_) => Err(Error::new(
                Code::Configuration,
                format!("field prevResult.{name} of the network configuration is no list"),
            )),
        };
        let dns = head.previous.as_ref().and_then(|result| result.get("dns"));
        Ok(Self {
            version: head.version,
            interfaces: list("interfaces")?,
            ips: list("ips")?,
            routes: list("routes")?,
            dns: dns.and_then(Value::as_object).cloned().unwrap_or_default(),
        })
    }

    /// Adds an interface in the namespace at `netns`: `link`, with those of `routes` that are netctl's and lead by it.
    pub(super) fn add(
        &mut self,
        netns: &Path,
        joined: &JoinView,
        link: Option<&Link>,
        routes: &[Route],
    ) {
        let number = self.interfaces.len();
        let mut interface = json!({ "name": joined.interface.device, "sandbox": netns });
        if let Some(mac) = joined.interface.mac {
            interface["mac"] = mac.to_string().into();
        }
        if let Some(link) = link.filter(|_| self.version >= Version::V1_1_0) {
            interface["mtu"] = link.mtu.into();
        }
        self.interfaces.push(interface);
        let own: Vec<&Route> = routes
            .iter()
            .filter(|route| {
                route.protocol == Route::OURS && route.link == link.map(|link| link.index)
            })
            .collect();
        for address in &joined.interface.addresses {
            let v6 = address.addr().is_ipv6();
            let mut ip = json!({ "address": address, "interface": number });
            // What leads nowhere is no gateway, though it serves names.
            let gateway = own.iter().filter(|route| route.is_default());
            if let Some(gateway) =
                gateway.filter_map(|route| route.gateway).find(|gateway| gateway.is_ipv6() == v6)
            {
                ip["gateway"] = gateway.to_string().into();
            }
            if self.version < Version::V1_0_0 {
                ip["version"] = if v6 { "6" } else { "4" }.into();
            }
            self.ips.push(ip);
        }
        self.routes.extend(own.into_iter().map(|route| {
            let mut shown = json!({ "dst": route.destination });
            if let Some(gateway) = route.gateway {
                shown["gw"] = gateway.to_string().into();
            }
            shown
        }));
    }

    /// Has names resolved at the gateways, before whom plugins before this one named.
    pub(super) fn resolve_by(&mut self, gateways: &[IpAddr], spec: &JoinSpec) {
        let servers = gateways.iter().map(ToString::to_string);
        self.put_first("nameservers", servers.collect());
        let search = spec.dns_search.iter().filter_map(SearchDomain::domain);
        self.put_first("search", search.map(str::to_owned).collect());
        // As in the sandbox's own resolv.conf: a bare name means the networks joined.
        let ndots = spec.dns_options.iter().any(|option| option.ndots().is_some());
        let options = spec.dns_options.iter().map(ResolverOption::as_str);
        let options = (!ndots).then_some("ndots:0").into_iter().chain(options);
        self.put_first("options", options.map(str::to_owned).collect());
    }

    fn put_first(&mut self, name: &str, mut own: Vec<String>) {
        let others = self.dns.get(name).and_then(Value::as_array).into_iter().flatten();
        for other in others.filter_map(Value::as_str) {
            if !own.iter().any(|own| own == other) {
                own.push(other.to_owned());
            }
        }
        if !own.is_empty() {
            self.dns.insert(name.to_owned(), own.into());
        }
    }

    pub(super) fn into_json(self) -> Value {
        json!({
            "cniVersion": self.version.as_str(),
            "interfaces": self.interfaces,
            "ips": self.ips,
            "routes": self.routes,
            "dns": self.dns,
        })
    }
}
