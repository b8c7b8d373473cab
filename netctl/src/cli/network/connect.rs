//! `netctl network connect` and `netctl network disconnect`.

use clap::{Args, builder::NonEmptyStringValueParser};

use super::super::{
    Context, Result,
    output::lines,
    service::{Details, Place},
};
use crate::model::{
    AttachSpec, ConnectSpec, ExposedPort, LinkAlias, Name, ServiceRef, ServiceSpec, ServiceView,
};

/// `netctl network connect`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Connect {
    /// Further name, which other services of the network may share
    #[arg(long = "alias", value_name = "NAME")]
    aliases: Vec<Name>,
    /// Name for a service of the network that only this sandbox is to have
    #[arg(long = "link", value_name = "NAME:ALIAS")]
    links: Vec<LinkAlias>,
    /// Port that it listens on, for SRV records
    #[arg(long = "expose", value_name = "PORT[/PROTO][:NAME]")]
    exposed: Vec<ExposedPort>,
    #[command(flatten)]
    details: Details,
    #[command(flatten)]
    place: Place,
    /// Network by name, id or the beginning of its id
    #[arg(value_parser = ServiceRef::part)]
    network: Name,
    /// Sandbox by name, id or the beginning of its id
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    sandbox: String,
}

/// `netctl network disconnect`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Disconnect {
    /// Network by name, id or the beginning of its id
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    network: String,
    /// Sandbox by name, id or the beginning of its id
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    sandbox: String,
}

impl Connect {
    pub(super) async fn run(self, Context { client, output }: &Context) -> Result {
        let Self { aliases, links, exposed, details, place, network, sandbox } = self;
        // The service has the sandbox's name, however the sandbox was named here.
        let sandbox = client.sandbox(&sandbox).await?.sandbox;
        let service = ServiceRef { service: sandbox.name, network: Some(network), driver: None };
        let publish = ServiceSpec { aliases, exposed, ..details.of(service) };
        let attach = AttachSpec { aliases: links, ..place.of(sandbox.id.into()) };
        let made = client.connect(&ConnectSpec { publish, attach }).await?;
        output.show(&made, |made| format!("{}\n", made.qualified()))
    }
}

impl Disconnect {
    pub(super) async fn run(self, Context { client, output }: &Context) -> Result {
        let taken = client.disconnect(&self.sandbox, &self.network).await?;
        output
            .show(&*taken, |taken: &[ServiceView]| lines(taken.iter().map(ServiceView::qualified)))
    }
}
