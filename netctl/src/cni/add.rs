//! ADD: a container joins a network.

use std::{
    os::fd::{AsFd as _, AsRawFd as _},
    process,
};

use serde_json::Value;

use super::{
    args::Arguments,
    call::{Attachment, Call},
    config::{Head, Wish},
    error::{Code, Error, Result},
    inside::Inside,
    result::Success,
    runtime::Wanted,
};
use crate::{
    api::Client,
    kernel::{Link, Netns, Route},
    model::{CniName, ContainerDevice, JoinSpec, LeaveSpec, Name, ServiceRef, ServiceSpec},
};

pub(super) async fn add(call: &Call, head: &Head, client: &Client) -> Result<Value> {
    let Attachment { container, device } = call.attachment()?;
    let (path, netns) = call.netns()?;
    let configuration = call.configuration()?;
    let Wish { network, dns } = Wish::read(configuration, head)?;
    let arguments = Arguments::read(call.arguments())?;
    let service = service_name(arguments.name.as_deref(), &container);
    let mut success = Success::after(head)?;
    let Wanted { address, address6, mac, ports, mut aliases } =
        Wanted::read(configuration, head, arguments)?;
    aliases.retain(|alias| *alias != service);
    let service = ServiceRef { service, network: None, driver: None };
    let id = netns.id().map_err(|error| Error::new(Code::Internal, error.to_string()))?;
    let held = format!("/proc/{}/fd/{}", process::id(), netns.as_fd().as_raw_fd());
    let spec = JoinSpec {
        container,
        configuration: head.name.clone(),
        // This process holds the namespace until the daemon has answered.
        netns: vec![path.clone(), held.into()],
        netns_id: (id.device, id.inode),
        device,
        network,
        service: ServiceSpec { aliases, ports, address, address6, mac, ..ServiceSpec::of(service) },
        dns_search: dns.search(),
        dns: dns.nameservers,
        dns_options: dns.options,
    };
    let joined = client.join(&spec).await?;
    match look(&netns, spec.device.as_str()).await {
        Ok((link, routes)) => success.add(&path, &joined, link.as_ref(), &routes),
        Err(error) => {
            let attachment = ContainerDevice { container: spec.container, device: spec.device };
            let leave = LeaveSpec { configuration: spec.configuration, attachment };
            // What is left then goes by the DEL that follows each ADD.
            drop(client.leave(&leave).await);
            return Err(error);
        }
    }
    success.resolve_by(&joined.gateways, &spec);
    Ok(success.into_json())
}

/// What the kernel has of an interface, and of routes beside it.
async fn look(netns: &Netns, device: &str) -> Result<(Option<Link>, Vec<Route>)> {
    let inside = Inside::open(netns).await?;
    Ok((inside.link(device).await?, inside.routes().await?))
}

/// What the container is called as a service: as people call it, or else as the runtime does.
fn service_name(given: Option<&str>, container: &CniName) -> Name {
    let near = |text| Name::near(text, Name::LONGEST);
    given
        .and_then(near)
        .or_else(|| near(container.as_str()))
        .expect("a container's identifier begins with a letter or digit")
}
