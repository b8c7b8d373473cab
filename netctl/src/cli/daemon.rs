//! `netctl daemon`.

use std::{mem, process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context as _;
use nix::unistd::geteuid;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    Error, Result, log,
    notify::{READY, STOPPING, notify},
    settings::{FileArgs, Options, Settings},
};
use crate::{
    api::{self, Claim},
    controller::Controller,
    store,
};

/// How long requests that were begun may take when the daemon is to end.
const GRACE: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    file: FileArgs,
}

pub(super) async fn run(args: Args) -> Result {
    let mut settings = Settings::resolve(args.options, &args.file)?;
    log::start(mem::take(&mut settings.log));
    serve(settings).await.map_err(Error::Daemon)?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(settings: Settings) -> anyhow::Result<()> {
    anyhow::ensure!(
        geteuid().is_root(),
        "netctl daemon must run as root: it makes network namespaces and loads eBPF programs"
    );
    let mut end = End::expect()?;
    let claim = Claim::take(&settings.run_dir)?;
    let starting = async {
        let store = store::open(&settings.store, &settings.store_options).await?;
        anyhow::Ok(Controller::start(settings.controller(store)).await?)
    };
    let controller = tokio::select! {
        controller = starting => Arc::new(controller?),
        () = end.came() => return Ok(()),
    };
    let listener = claim.listen()?;
    let stop = CancellationToken::new();
    let mut server = tokio::spawn(api::serve(listener, Arc::clone(&controller), stop.clone()));
    tracing::info!(host = %settings.host, socket = %claim.socket().display(), "ready");
    notify(READY);

    let ended = tokio::select! {
        ended = &mut server => Some(ended),
        () = end.came() => None,
    };
    tracing::info!("stopping; the data plane goes on forwarding");
    notify(STOPPING);
    stop.cancel();
    let ended = match ended {
        Some(ended) => Ok(ended),
        None => timeout(GRACE, &mut server).await,
    };
    if let Ok(served) = ended {
        served.context("the server broke off")?.context("the server failed")?;
    } else {
        tracing::warn!(seconds = GRACE.as_secs(), "requests are cut off: they took too long");
        server.abort();
    }
    if let Some(controller) = Arc::into_inner(controller) {
        controller.shutdown().await;
    }
    Ok(())
}

/// The signals that ask the daemon to end.
struct End {
    terminate: Signal,
    interrupt: Signal,
    /// Held, so that the end of a terminal is not the end of the daemon.
    _hangup: Signal,
}

impl End {
    fn expect() -> anyhow::Result<Self> {
        let expect = |kind| signal(kind).context("signals cannot be received");
        Ok(Self {
            terminate: expect(SignalKind::terminate())?,
            interrupt: expect(SignalKind::interrupt())?,
            _hangup: expect(SignalKind::hangup())?,
        })
    }

    async fn came(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
