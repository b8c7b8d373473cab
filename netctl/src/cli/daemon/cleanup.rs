//! `netctl daemon --cleanup`.

use std::{path::Path, process::ExitCode};

use crate::{
    api::Claim,
    cli::{Error, Result, output::Output, settings::Settings},
    controller::{self, Cleaned},
    kernel,
    store::{self, SharedStore, StoreSpec},
};

pub(super) async fn run(settings: Settings, output: &Output) -> Result {
    let cleaned = clean(settings).await.map_err(Error::Daemon)?;
    output.show(&cleaned, text)?;
    if cleaned.failed.is_empty() { Ok(ExitCode::SUCCESS) } else { Err(Error::Left(cleaned.failed)) }
}

async fn clean(settings: Settings) -> anyhow::Result<Cleaned> {
    kernel::check_privileges()?;
    let claim = Claim::take(&settings.run_dir)?;
    let store = open(&settings).await;
    let docker = &settings.docker;
    let mut sockets = vec![claim.socket(), docker.plugin_socket.clone()];
    sockets.extend(docker.swarm_socket.clone());
    let mut cleaned = controller::clean(&settings.controller(), store, &sockets).await?;
    if let Err(error) = claim.release() {
        cleaned.failed.push(error.to_string());
    }
    Ok(cleaned)
}

/// The store, unless it is a file that is not there: looking does not make one.
async fn open(settings: &Settings) -> Result<Option<SharedStore>, store::Error> {
    let file = match &settings.store {
        StoreSpec::File(file) => Some(file.as_deref().unwrap_or(&settings.store_options.file)),
        StoreSpec::Etcd(_) => None,
    };
    if file.is_some_and(|file: &Path| !file.exists()) {
        return Ok(None);
    }
    store::open(&settings.store, &settings.store_options).await.map(Some)
}

fn text(cleaned: &Cleaned) -> String {
    let Cleaned { removed, stays, failed } = cleaned;
    if removed.is_empty() && stays.is_empty() && failed.is_empty() {
        return "nothing of netctl is on this host\n".to_owned();
    }
    let removed = removed.iter().map(|thing| format!("removed: {thing}\n"));
    let stays = stays.iter().map(|of| format!("stays: {}: {}\n", of.thing, of.why));
    removed.chain(stays).collect()
}
