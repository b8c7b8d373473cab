//! `netctl daemon`.

mod cleanup;
mod ending;

use std::{io, mem, process::ExitCode, sync::Arc};

use tokio::{signal::unix::SignalKind, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use self::ending::Parts;
pub(super) use self::ending::end as end_runtime;
use super::{
    Error, Result,
    end::End,
    log,
    notify::{READY, STOPPING, notify},
    output::Output,
    passed::Passed,
    settings::{DockerSettings, FileArgs, Options, Settings},
};
use crate::{
    api::{self, Claim, MetricsListener, WebListener},
    controller::Controller,
    docker::{self, Engine, PluginSocket},
    kernel, store,
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Do not run: take away all that netctl has on this host, and give back what the host has in the store. The
    /// daemon must be stopped. What the state directory holds stays, but for sandboxes
    #[arg(long)]
    cleanup: bool,
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    file: FileArgs,
}

pub(super) async fn run(args: Args, output: &Output) -> Result {
    let mut settings = Settings::resolve(args.options, &args.file)?;
    log::start(mem::take(&mut settings.log));
    if args.cleanup {
        return cleanup::run(settings, output).await;
    }
    serve(settings).await.map_err(Error::Daemon)?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(settings: Settings) -> anyhow::Result<()> {
    kernel::check_privileges()?;
    kernel::raise_descriptor_limit();
    // SIGHUP is expected by nobody below: the end of a terminal is not the end of the daemon.
    End::expect([SignalKind::hangup()])?;
    let mut end = End::expect([SignalKind::terminate(), SignalKind::interrupt()])?;
    let mut claim = Claim::take(&settings.run_dir)?;
    let mut passed = Passed::to_us()?;
    let (host, docker) = (settings.host.clone(), settings.docker.clone());
    // Before anything is changed: an address that cannot be had is a mistake in the settings.
    let metrics = match settings.metrics_listen {
        Some(address) => Some(MetricsListener::bind(address).await?),
        None => None,
    };
    let page = match settings.web_listen {
        Some(address) => Some(WebListener::bind(address).await?),
        None => None,
    };
    let starting = async {
        let store = store::open(&settings.store, &settings.store_options).await?;
        anyhow::Ok(Controller::start(settings.controller(), store).await?)
    };
    let controller = tokio::select! {
        controller = starting => controller?,
        _ = end.came() => return Ok(()),
    };
    let listener = match passed.take(&claim.socket()) {
        Some(listener) => listener?,
        None => claim.listen()?,
    };
    let stop = CancellationToken::new();
    let plugin = serve_docker(&docker, &controller, &mut passed, &stop).await?;
    for path in passed.left() {
        tracing::warn!(path = %path.display(), "who calls there waits for ever: no setting has the daemon serve that socket");
    }
    let metrics =
        metrics.map(|listener| tokio::spawn(listener.serve(Arc::clone(&controller), stop.clone())));
    let page =
        page.map(|listener| tokio::spawn(listener.serve(Arc::clone(&controller), stop.clone())));
    let mut server = tokio::spawn(api::serve(listener, Arc::clone(&controller), stop.clone()));
    tracing::info!(%host, socket = %claim.socket().display(), "ready");
    notify(READY);

    let ended = tokio::select! {
        ended = &mut server => Some(ended),
        _ = end.came() => None,
        // What starts the daemon starts it again then, and it adopts what is there.
        () = controller.ended() => anyhow::bail!("the host no longer follows the store: this is a mistake in netctl"),
    };
    tracing::info!("stopping; the data plane goes on forwarding");
    notify(STOPPING);
    stop.cancel();
    Parts { server, ended, plugin, metrics, page, controller }.end().await
}

/// What is served to Docker, with the sockets that go with it where nobody passed them.
#[derive(Default)]
struct Plugin {
    served: Vec<(Option<PluginSocket>, JoinHandle<io::Result<()>>)>,
    followers: Vec<JoinHandle<()>>,
}

impl Plugin {
    /// Waits for the end of what was begun.
    async fn end(mut self) {
        for (_socket, server) in &mut self.served {
            match server.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(%error, "the plugin of Docker failed"),
                Err(error) => tracing::error!(%error, "the plugin of Docker broke off"),
            }
        }
        for follower in self.followers {
            if let Err(error) = follower.await {
                tracing::error!(%error, "what follows Docker broke off");
            }
        }
    }
}

async fn serve_docker(
    settings: &DockerSettings,
    controller: &Arc<Controller>,
    passed: &mut Passed,
    stop: &CancellationToken,
) -> anyhow::Result<Plugin> {
    let mut plugin = Plugin::default();
    if !settings.serve {
        return Ok(plugin);
    }
    let local = Some((&settings.plugin_socket, docker::Scope::Local));
    let swarm = settings.swarm_socket.as_ref().map(|path| (path, docker::Scope::Global));
    for (path, scope) in local.into_iter().chain(swarm) {
        let (socket, listener) = match passed.take(path) {
            Some(listener) => (None, listener?),
            None => PluginSocket::listen(path).await.map(|(socket, at)| (Some(socket), at))?,
        };
        let serving = docker::serve(listener, Arc::clone(controller), scope, stop.clone());
        plugin.served.push((socket, tokio::spawn(serving)));
        tracing::info!(socket = %path.display(), ?scope, "serving Docker");
    }
    let engine = Engine::new(&settings.engine);
    let following = docker::follow(engine.clone(), Arc::clone(controller), stop.clone());
    let comparing = docker::reconcile(engine, Arc::clone(controller), stop.clone());
    plugin.followers = vec![tokio::spawn(following), tokio::spawn(comparing)];
    Ok(plugin)
}
