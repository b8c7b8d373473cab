//! `netctl run`.

use std::process::ExitCode;

use tokio::signal::unix::SignalKind;

use super::{Context, Error, Result, end::End, inside::CommandLine, sandbox, service::Details};
use crate::{
    api::Client,
    model::{ExposedPort, Name, RunSpec, SandboxId, ServiceRef, ServiceSpec},
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Name of the sandbox; its short id where none is given
    #[arg(long)]
    name: Option<Name>,
    /// Service to publish and attach; a network that is not there is made
    #[arg(long = "publish-service", value_name = "SERVICE.NETWORK[.DRIVER]")]
    services: Vec<ServiceRef>,
    #[command(flatten)]
    details: Details,
    /// Port that the services listen on, for SRV records
    #[arg(long = "expose", value_name = "PORT[/PROTO][:NAME]")]
    exposed: Vec<ExposedPort>,
    #[command(flatten)]
    sandbox: sandbox::Setup,
    /// Remove the sandbox when the command ends
    #[arg(long)]
    rm: bool,
    #[command(flatten)]
    command: CommandLine,
}

impl Args {
    /// A sandbox that is to go, goes also where a signal comes before, during or after the command.
    pub(super) async fn run(self, Context { client, .. }: &Context) -> Result {
        let kinds = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()];
        let mut end = End::expect(kinds).map_err(Error::Start)?;
        self.command.check()?;
        let spec = RunSpec {
            sandbox: self.sandbox.of(self.name),
            publish: published(self.services, self.details, &self.exposed)?,
        };
        let sandbox = client.run(&spec).await?;
        let outcome = match end.has_come() {
            Some(signal) => Err(Error::Signal(signal)),
            None => self.command.run(&sandbox, Some(&mut end)).await,
        };
        // What was never used is not kept either.
        if self.rm || outcome.is_err() {
            remove(client, &sandbox.sandbox.id, outcome).await
        } else {
            outcome
        }
    }
}

/// What there is to publish. What only one of several services can have is for one alone.
fn published(
    services: Vec<ServiceRef>,
    details: Details,
    exposed: &[ExposedPort],
) -> Result<Vec<ServiceSpec>> {
    let with = |spec: ServiceSpec| ServiceSpec { exposed: exposed.to_vec(), ..spec };
    if !details.given() {
        return Ok(services.into_iter().map(ServiceSpec::of).map(with).collect());
    }
    match <[ServiceRef; 1]>::try_from(services) {
        Ok([service]) => Ok(vec![with(details.of(service))]),
        Err(_) => Err(Error::Unusable(
            "--publish, --ip, --ip6, --mac and --bridging are for one service: give --publish-service once",
        )),
    }
}

/// Removes the sandbox. Where the command failed and this does too, the command's failure comes first.
async fn remove(client: &Client, sandbox: &SandboxId, outcome: Result) -> Result<ExitCode> {
    match (client.remove_sandbox(sandbox.as_str()).await, outcome) {
        (Ok(_), outcome) => outcome,
        (Err(left), Ok(_)) => Err(left.into()),
        (Err(left), Err(failed)) => Err(Error::Both { failed: Box::new(failed), left }),
    }
}
