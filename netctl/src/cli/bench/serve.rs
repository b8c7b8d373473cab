//! `netctl bench serve`.

use std::{
    net::{IpAddr, SocketAddr},
    process::ExitCode,
    time::Duration,
};

use futures_util::{
    FutureExt as _,
    future::{self, BoxFuture},
};
use tokio::{
    signal::unix::SignalKind,
    time::{Instant, sleep, sleep_until},
};

use super::{
    super::{Context, Error, Result, end::End},
    PORT,
    measure::device,
    place::{self, Place},
};
use crate::{
    api::Client,
    bench::{Server, Terms},
    kernel::Netns,
};

/// For how long a network that was made is tried to be removed while the other end still has its service there.
const REMOVAL: Duration = Duration::from_secs(5);

#[derive(Debug, clap::Args)]
pub(super) struct Serve {
    /// Network to measure on; one is made for the time where none is given
    #[arg(long, value_name = "NETWORK", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    network: Option<String>,
    /// For how many seconds to be there, at most 3600
    #[arg(long = "for", value_name = "SECONDS", default_value_t = 600)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
}

impl Serve {
    pub(super) async fn run(self, Context { client, output }: &Context) -> Result {
        let kinds = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()];
        let mut end = End::expect(kinds).map_err(Error::Start)?;
        let until = Instant::now() + Duration::from_secs(self.seconds);
        place::sweep(client).await?;
        let (network, made) = if let Some(network) = self.network {
            // A sandbox that is made with services makes networks too, and one of a wrong name would stay.
            (client.network(&network).await?.network.name.to_string(), None)
        } else {
            let name = format!("bench-{}", place::random());
            (format!("{name}.overlay"), Some(name))
        };
        let place = Place::make(client, place::End::Server, &network).await?;
        let ready = |host: &str| {
            let how = format!("on another host, run `netctl bench {host}`");
            output.print(&format!("serving for {} s: {how}\n", self.seconds)).map(drop)
        };
        let outcome = tokio::select! {
            biased;
            // Being interrupted is how it is meant to end.
            _ = end.came() => Ok(()),
            () = sleep_until(until) => Ok(()),
            outcome = serve(client, &place, ready) => outcome,
        };
        place.remove(client, outcome).await?;
        if let Some(name) = made {
            remove(client, &name).await?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Answers in the sandbox and on the underlay, until one of the two cannot any more. The threads that do it end with the
/// process.
async fn serve(
    client: &Client,
    place: &Place,
    ready: impl FnOnce(&str) -> Result<()>,
) -> Result<()> {
    let status = client.status().await?;
    let hosts = client.hosts().await?;
    let others = hosts.iter().filter(|view| !view.this);
    let peers = others.flat_map(|view| view.host.vteps.iter()).collect();
    let key = place.endpoint()?.as_str().to_owned();
    let device = Some(device(&status).await?);
    let inside = Terms { key, peers: None, device };
    let underlay = Terms { peers: Some(peers), ..inside.clone() };
    // Whoever is told that it serves can measure at once: both listen by then.
    let overlay = bound(place.netns()?, place.address()?, inside).await?;
    let host = Netns::current()?;
    let mut serving = vec![overlay];
    for vtep in status.vteps.iter() {
        serving.push(bound(host.clone(), vtep, underlay.clone()).await?);
    }
    ready(status.host.as_str())?;
    future::select_all(serving).await.0
}

/// Listens in `netns`, and gives what ends when nothing can be accepted there any more.
async fn bound(
    netns: Netns,
    address: IpAddr,
    terms: Terms,
) -> Result<BoxFuture<'static, Result<()>>> {
    let at = SocketAddr::new(address, PORT);
    let server = netns.run(move || Server::bind(at, terms)).await??;
    Ok(async move { Ok(netns.run(move || server.serve()).await??) }.boxed())
}

/// Removes the network that was made, as soon as nobody has a service on it any more.
async fn remove(client: &Client, name: &str) -> Result<()> {
    let end = Instant::now() + REMOVAL;
    loop {
        match client.remove_network(name).await {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() > end => return Err(error.into()),
            Err(_in_use) => sleep(Duration::from_millis(200)).await,
        }
    }
}
