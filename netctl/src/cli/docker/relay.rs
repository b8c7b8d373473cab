//! From the socket that an engine calls to the one that the daemon serves, in both directions.

use std::{io, path::Path, process::ExitCode};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{UnixListener, UnixStream},
    signal::unix::{SignalKind, signal},
};

use super::{super::Error, Relay, Result};

/// Of a call that cannot be passed on nothing needs to be known: so much is read that its sender has said all.
const ENOUGH: usize = 64 << 10;

impl Relay {
    /// Until the engine ends it.
    pub(super) async fn run(self) -> Result {
        let Self { listen, daemon } = self;
        let mut ended = signal(SignalKind::terminate()).map_err(Error::Start)?;
        let mut interrupted = signal(SignalKind::interrupt()).map_err(Error::Start)?;
        let failed = |source| Error::File { path: listen.clone(), source };
        match std::fs::remove_file(&listen) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(failed(source)),
            Ok(()) | Err(_) => {}
        }
        let listener = UnixListener::bind(&listen).map_err(failed)?;
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = ended.recv() => return Ok(ExitCode::SUCCESS),
                _ = interrupted.recv() => return Ok(ExitCode::SUCCESS),
            };
            let (engine, _) = accepted.map_err(Error::Start)?;
            let daemon = daemon.clone();
            // A connection that breaks is told to the engine by that.
            drop(tokio::spawn(async move { pass(engine, &daemon).await }));
        }
    }
}

async fn pass(mut engine: UnixStream, daemon: &Path) -> io::Result<()> {
    match UnixStream::connect(daemon).await {
        Ok(mut daemon) => copy_bidirectional(&mut engine, &mut daemon).await.map(drop),
        Err(error) => refuse(engine, daemon, &error).await,
    }
}

/// Answers for a daemon that is not there, at once and in words: an engine that reaches nobody tries again for long.
async fn refuse(mut engine: UnixStream, daemon: &Path, error: &io::Error) -> io::Result<()> {
    let mut call = vec![0; ENOUGH];
    let _heard = engine.read(&mut call).await?;
    let sentence = format!(
        "netctl's daemon is not to be reached at {}: {error}; is it running with --docker-swarm-socket?",
        daemon.display()
    );
    let body = json!({ "Err": sentence, "Error": sentence }).to_string();
    let answer = format!(
        "HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    );
    engine.write_all(answer.as_bytes()).await?;
    engine.shutdown().await
}
