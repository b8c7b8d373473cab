//! `netctl top`.

mod rates;
mod screen;
mod view;

use std::{
    io::{self, IsTerminal as _},
    process::ExitCode,
    time::{Duration, Instant},
};

use tokio::{signal::unix::SignalKind, time::sleep};

use self::{
    rates::{Look, Rates, Sort},
    screen::{Key, Screen},
};
use super::{Context, Result, end::End};
use crate::{api::Client, model::Name};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print once what one interval brought, and end; so it is too where the output is JSON or no terminal
    #[arg(long)]
    once: bool,
    /// Seconds between looks, from 0.1 to 3600
    #[arg(short, long, value_name = "SECONDS", default_value = "2", value_parser = interval)]
    interval: Duration,
    /// What comes first
    #[arg(short, long, value_enum, default_value_t)]
    sort: Sort,
    /// Only endpoints of this network
    #[arg(long, value_name = "NETWORK")]
    network: Option<Name>,
}

impl Args {
    pub(super) async fn run(self, Context { client, output }: &Context) -> Result {
        let terminal = io::stdout().is_terminal() && io::stdin().is_terminal();
        if self.once || output.is_json() || !terminal {
            let before = self.look(client).await?;
            sleep(self.interval).await;
            let rates = Rates::between(&before, &self.look(client).await?, self.sort);
            return output.show(&rates, |rates| view::text(rates, None));
        }
        self.watch(client).await
    }

    /// Shows it until somebody has seen enough, or the daemon is gone. The terminal is as before then.
    async fn watch(mut self, client: &Client) -> Result {
        let mut end =
            End::expect([SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()])?;
        let mut resized = End::expect([SignalKind::window_change()])?;
        let mut before = self.look(client).await?;
        let mut rates = None;
        let mut screen = Screen::open()?;
        loop {
            screen.draw(|size| match &rates {
                Some(rates) => view::text(rates, Some(size)),
                None => "looking …\n".to_owned(),
            })?;
            let key = tokio::select! {
                _ = end.came() => return Ok(ExitCode::SUCCESS),
                _ = resized.came() => Some(Key::Other),
                key = screen.key() => Some(key?),
                () = sleep(self.interval.saturating_sub(before.at.elapsed())) => None,
            };
            match key {
                Some(Key::Quit) => return Ok(ExitCode::SUCCESS),
                Some(Key::Sort(sort)) => {
                    self.sort = sort;
                    if let Some(rates) = &mut rates {
                        rates.sort(sort);
                    }
                }
                Some(Key::Other) => {}
                None => {
                    let now = tokio::select! {
                        _ = end.came() => return Ok(ExitCode::SUCCESS),
                        now = self.look(client) => now?,
                    };
                    rates = Some(Rates::between(&before, &now, self.sort));
                    before = now;
                }
            }
        }
    }

    async fn look(&self, client: &Client) -> Result<Look> {
        let mut endpoints = client.traffic().await?;
        endpoints.retain(|own| self.network.as_ref().is_none_or(|network| own.network == *network));
        Ok(Look { at: Instant::now(), endpoints, counters: client.counters().await? })
    }
}

fn interval(text: &str) -> Result<Duration, &'static str> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| (0.1..=3600.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or("write seconds, from 0.1 to 3600")
}
