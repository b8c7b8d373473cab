//! `netctl network prune`.

use std::{
    collections::BTreeSet,
    io::{self, BufRead as _, IsTerminal as _, Write as _},
    process::ExitCode,
};

use super::{
    super::{Context, Error, Result, output::lines},
    filter::Filter,
    names,
};
use crate::{api::client, controller::Kind, model::NetworkView};

/// `netctl network prune`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Do not ask; where input is no terminal, nothing is asked anyway
    #[arg(short, long, visible_short_alias = 'y')]
    force: bool,
    /// Only networks of which this is true, as of `netctl network ls`
    #[arg(long = "filter", value_name = "WHAT=VALUE")]
    filters: Vec<Filter>,
}

impl Args {
    pub(super) async fn run(self, context: &Context) -> Result {
        let Context { client, output } = context;
        let unused = self.unused(context).await?;
        if !self.force && !unused.is_empty() && io::stdin().is_terminal() && !agreed(&unused)? {
            return Ok(ExitCode::SUCCESS);
        }
        let (mut removed, mut failed) = (Vec::new(), Vec::new());
        for view in unused {
            match client.remove_network(view.network.id.as_str()).await {
                Ok(view) => removed.push(view),
                // Somebody uses it by now, or removed it: it is none of those that were meant.
                Err(client::Error::Failed(error))
                    if matches!(error.kind, Kind::Forbidden | Kind::NotFound) => {}
                Err(error) => failed.push(error),
            }
        }
        let code = output.show(&*removed, names)?;
        if failed.is_empty() { Ok(code) } else { Err(Error::Requests(failed)) }
    }

    /// The networks that are meant and have no services. Services are listed last, so that one that is published in the
    /// meantime counts.
    async fn unused(&self, Context { client, .. }: &Context) -> Result<Vec<NetworkView>> {
        let mut networks = client.networks(false).await?;
        let services = client.services(None).await?;
        let used: BTreeSet<_> = services.into_iter().map(|view| view.endpoint.network).collect();
        networks.retain(|NetworkView { network, .. }| {
            !used.contains(&network.id) && self.filters.iter().all(|filter| filter.takes(network))
        });
        Ok(networks)
    }
}

/// Asks on the terminal. Only a yes is one.
fn agreed(networks: &[NetworkView]) -> Result<bool> {
    let mut terminal = io::stderr();
    let list = lines(networks.iter().map(|view| format!("  {}", view.network.name)));
    write!(
        terminal,
        "These networks have no services and will be removed:\n{list}Remove them? [y/N] "
    )?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(is_yes(&answer))
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_is_one() {
        for (answer, yes) in
            [("y\n", true), ("Yes\n", true), ("\n", false), ("", false), ("no", false)]
        {
            assert_eq!(is_yes(answer), yes, "{answer:?}");
        }
    }
}
