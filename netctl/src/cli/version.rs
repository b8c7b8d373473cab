//! `netctl version`.

use std::process::ExitCode;

use serde::Serialize;

use super::{Context, Error, Result, table::fields};
use crate::api::{Version, client};

#[derive(Serialize)]
struct Versions {
    client: Version,
    /// None where it cannot be reached.
    daemon: Option<Version>,
}

/// The command line's own version is printed also where the daemon cannot be reached, which is an error all the same.
pub(super) async fn run(Context { client, output }: &Context) -> Result {
    let daemon = client.version().await;
    let (daemon, outcome) = match daemon {
        Ok(version) => (Some(version), Ok(ExitCode::SUCCESS)),
        Err(error @ (client::Error::Unreachable { .. } | client::Error::Denied { .. })) => {
            (None, Err(Error::from(error)))
        }
        Err(error) => return Err(error.into()),
    };
    output.show(&Versions { client: Version::of_this_build(), daemon }, text)?;
    outcome
}

fn text(Versions { client, daemon }: &Versions) -> String {
    let line = |version: &Version| format!("{}, map layout {}", version.version, version.abi);
    let daemon = daemon.as_ref().map(|daemon| ("Daemon", line(daemon)));
    fields([("Client", line(client))].into_iter().chain(daemon))
}
