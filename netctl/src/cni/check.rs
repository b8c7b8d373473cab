//! CHECK: whether a container still has what ADD gave it; and STATUS: whether ADD would do.

use std::{fmt::Display, net::IpAddr, path::Path};

use serde_json::Value;

use super::{
    call::{Attachment, Call},
    config::Head,
    error::{Code, Error, Result},
    inside::Inside,
};
use crate::{
    api::Client,
    model::{InterfaceView, ServiceRef},
};

pub(super) async fn check(call: &Call, head: &Head, client: &Client) -> Result<()> {
    let Attachment { container, device } = call.attachment()?;
    let (path, netns) = call.netns()?;
    let expected = Expected::of(head, device.as_str(), &path)?;
    let changed = |what: &dyn Display| {
        let why = format!("container {container} {what}: remove it, and start it again");
        Error::new(Code::Changed, why)
    };

    let sandbox = match client.sandbox(container.as_str()).await.map_err(Error::from) {
        Err(error) if error.code() == Code::NotFound => {
            return Err(changed(&format_args!("is on no network of {}", head.name)));
        }
        found => found?,
    };
    let mine = |interface: &&InterfaceView| {
        interface.configuration.as_ref() == Some(&head.name)
            && interface.device.as_deref() == Some(device.as_str())
    };
    let Some(interface) = sandbox.interfaces.iter().find(mine) else {
        return Err(changed(&format_args!("has no interface {device} of {}", head.name)));
    };
    let service = ServiceRef {
        service: interface.service.clone(),
        network: Some(interface.network.clone()),
        driver: None,
    };
    let held = match client.service(&service).await.map_err(Error::from) {
        Err(error) if error.code() == Code::NotFound => false,
        found => found?.endpoint.owner.is_some_and(|owner| owner.sandbox == sandbox.sandbox.id),
    };
    if !held {
        return Err(changed(&format_args!("has lost service {service}")));
    }

    let inside = Inside::open(&netns).await?;
    let Some(link) = inside.link(device.as_str()).await? else {
        return Err(changed(&format_args!("has no interface {device}")));
    };
    if !link.up || !link.carrier {
        return Err(changed(&format_args!("has its interface {device} down")));
    }
    let mac = link.mac.map(|mac| mac.to_string());
    if let Some(expected) = expected.mac.filter(|expected| mac.as_ref() != Some(expected)) {
        let mac = mac.unwrap_or_default();
        return Err(changed(&format_args!("has {device} with address {mac}, not {expected}")));
    }
    let addresses = inside.addresses(&link).await?;
    if let Some(address) = expected.addresses.iter().find(|address| !addresses.contains(address)) {
        return Err(changed(&format_args!("has {device} without address {address}")));
    }
    let routes = inside.routes().await?;
    let leads = |to: &str| routes.iter().any(|route| route.destination.to_string() == to);
    match expected.routes.iter().find(|to| !leads(to)) {
        Some(to) => Err(changed(&format_args!("has no route to {to}"))),
        None => Ok(()),
    }
}

/// What the result of ADD says of one interface.
struct Expected {
    mac: Option<String>,
    addresses: Vec<IpAddr>,
    /// Where its routes lead; those of other plugins are theirs to check. Which of a container's interfaces a default
    /// route leads by may change with its networks.
    routes: Vec<String>,
}

impl Expected {
    fn of(head: &Head, device: &str, netns: &Path) -> Result<Self> {
        let invalid = |why: String| Err(Error::new(Code::Configuration, why));
        let Some(result) = &head.previous else {
            return invalid(
                "CHECK needs prevResult, the result of ADD: the runtime has to add it".to_owned(),
            );
        };
        let list = |name: &str| result.get(name).and_then(Value::as_array).into_iter().flatten();
        let text = |value: &Value, name: &str| Some(value.get(name)?.as_str()?.to_owned());
        let is_it = |interface: &Value| {
            text(interface, "name").as_deref() == Some(device)
                && text(interface, "sandbox").is_some_and(|sandbox| Path::new(&sandbox) == netns)
        };
        let Some((number, interface)) = list("interfaces").enumerate().find(|(_, it)| is_it(it))
        else {
            return invalid(format!("prevResult has no interface {device} in {}", netns.display()));
        };
        let of_it =
            |ip: &&Value| ip.get("interface").and_then(Value::as_u64) == u64::try_from(number).ok();
        let gateways: Vec<String> =
            list("ips").filter(of_it).filter_map(|ip| text(ip, "gateway")).collect();
        let address = |ip: &Value| text(ip, "address")?.split('/').next()?.parse().ok();
        Ok(Self {
            mac: text(interface, "mac").map(|mac| mac.to_ascii_lowercase()),
            addresses: list("ips").filter(of_it).filter_map(address).collect(),
            routes: list("routes")
                .filter(|route| {
                    text(route, "gw").is_some_and(|gateway| gateways.contains(&gateway))
                })
                .filter_map(|route| text(route, "dst"))
                .collect(),
        })
    }
}

pub(super) async fn status(client: &Client) -> Result<()> {
    let status = client.status().await.map_err(|error| Error::from(error).of_status())?;
    match status.store_error {
        Some(error) => Err(Error::new(Code::NotAvailable, error)),
        None => Ok(()),
    }
}
