//! What a plugin answers to a join.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// The longest name of a device, `IFNAMSIZ` less its end.
const DEVICE_NAME: usize = 15;
/// A route whose destination is on the link, of `StaticRoute.RouteType`; 0 is one with a next hop.
const CONNECTED: i64 = 1;

/// What an endpoint is to get in its sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinAnswer {
    /// The device on the host that is to be moved there; none where the driver makes none.
    pub device: Option<String>,
    /// What its name there begins with.
    pub prefix: String,
    /// The routers to all that no other route leads to.
    pub gateways: Gateways,
    /// Further routes.
    pub routes: Vec<StaticRoute>,
    /// Whether the sandbox is to have no way out by another device for want of a gateway.
    pub no_gateway_service: bool,
}

/// The default routers of each family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gateways {
    /// Of IPv4.
    pub v4: Option<IpAddr>,
    /// Of IPv6.
    pub v6: Option<IpAddr>,
}

/// A route for a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaticRoute {
    /// Where to.
    pub destination: IpNet,
    /// By which router; `None` for what is on the link.
    pub next_hop: Option<IpAddr>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct JoinText {
    interfacename: InterfaceNameText,
    gateway: String,
    gatewayipv6: String,
    staticroutes: Vec<StaticRouteText>,
    disablegatewayservice: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct InterfaceNameText {
    srcname: String,
    dstprefix: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct StaticRouteText {
    destination: String,
    routetype: i64,
    nexthop: String,
}

impl JoinText {
    pub(super) fn read(self) -> Result<JoinAnswer, String> {
        let InterfaceNameText { srcname, dstprefix } = self.interfacename;
        let device = Some(srcname).filter(|name| !name.is_empty());
        if let Some(name) = &device
            && !is_device(name)
        {
            return Err(format!("SrcName {name:?} is no name of a device"));
        }
        let prefix = if dstprefix.is_empty() { "eth".to_owned() } else { dstprefix };
        // There is to be room for a number behind it.
        if !is_device(&format!("{prefix}0000")) {
            return Err(format!("DstPrefix {prefix:?} is no beginning of a device's name"));
        }
        let router = |what: &str, text: &str, v6: bool| match text {
            "" => Ok(None),
            text => match text.parse::<IpAddr>() {
                Ok(address) if address.is_ipv6() == v6 && !address.is_unspecified() => {
                    Ok(Some(address))
                }
                _ => Err(format!("{what} {text:?} is no address of a router")),
            },
        };
        let v4 = router("Gateway", &self.gateway, false)?;
        let v6 = router("GatewayIPv6", &self.gatewayipv6, true)?;
        let route = |text: StaticRouteText| {
            let StaticRouteText { destination, routetype, nexthop } = text;
            let to = destination
                .parse::<IpNet>()
                .map_err(|_not| format!("route Destination {destination:?} is no subnet"))?;
            let next_hop = match (routetype, &*nexthop) {
                (CONNECTED, "") => None,
                (CONNECTED, _) => Err(format!("the route to {to} is connected and has a NextHop"))?,
                (0, text) => router("NextHop", text, to.addr().is_ipv6())?
                    .ok_or_else(|| format!("the route to {to} has no NextHop"))
                    .map(Some)?,
                (other, _) => Err(format!("the route to {to} is of RouteType {other}"))?,
            };
            Ok::<_, String>(StaticRoute { destination: to.trunc(), next_hop })
        };
        Ok(JoinAnswer {
            device,
            prefix,
            gateways: Gateways { v4, v6 },
            routes: self.staticroutes.into_iter().map(route).collect::<Result<_, _>>()?,
            no_gateway_service: self.disablegatewayservice,
        })
    }
}

impl Gateways {
    /// Those that there are, IPv4 first.
    pub fn iter(self) -> impl Iterator<Item = IpAddr> {
        self.v4.into_iter().chain(self.v6)
    }
}

/// Whether a device may have this name (`dev_valid_name`).
fn is_device(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_graphic() && c != '/' && c != ':';
    (1..=DEVICE_NAME).contains(&name.len())
        && name != "."
        && name != ".."
        && name.chars().all(inner)
}
