//! A socket that stands in for a plugin's where its answers are what is tried.

use std::sync::{Arc, Mutex as StdMutex};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixListener,
    task::JoinHandle,
};

use super::super::*;

/// What a socket does with a connection.
#[derive(Clone, Copy, Debug)]
pub(super) enum Does {
    /// Answers with this status and body.
    Answers(u16, &'static str),
    /// Takes the request and ends.
    Dies,
    /// Takes the request and says nothing.
    Stalls,
}

/// A socket that does one thing after another, and keeps what it was sent.
pub(super) struct Socket {
    pub(super) dir: tempfile::TempDir,
    pub(super) requests: Arc<StdMutex<Vec<(String, String)>>>,
    task: JoinHandle<()>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Socket {
    pub(super) fn new(does: &[Does]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let listener = UnixListener::bind(dir.path().join("p.sock")).expect("bound");
        let requests = Arc::<StdMutex<Vec<(String, String)>>>::default();
        let (kept, does) = (Arc::clone(&requests), does.to_vec());
        let task = tokio::spawn(async move {
            let mut held = Vec::new();
            for does in does {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                let mut request = Vec::new();
                while !is_whole(&request) {
                    let mut piece = [0; 4096];
                    let length = stream.read(&mut piece).await.expect("read");
                    assert!(length > 0, "the request breaks off");
                    request.extend_from_slice(&piece[..length]);
                }
                let text = String::from_utf8(request).expect("text");
                let (head, body) = text.split_once("\r\n\r\n").expect("whole");
                kept.lock().expect("nobody panicked").push((head.to_owned(), body.to_owned()));
                match does {
                    Does::Answers(status, body) => {
                        let length = body.len();
                        let text = format!(
                            "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n\r\n{body}"
                        );
                        stream.write_all(text.as_bytes()).await.expect("written");
                    }
                    Does::Dies => {}
                    Does::Stalls => held.push(stream),
                }
            }
            // Who comes now finds nobody.
            drop(listener);
            std::future::pending::<()>().await;
        });
        Self { dir, requests, task }
    }

    pub(super) fn plugins(&self, patience: u64) -> Plugins {
        Plugins::new(vec![self.dir.path().to_owned()], Duration::from_secs(patience))
    }

    pub(super) fn bodies(&self) -> Vec<(String, String)> {
        let requests = self.requests.lock().expect("nobody panicked");
        let path = |head: &str| head.split(' ').nth(1).unwrap_or_default().to_owned();
        requests.iter().map(|(head, body)| (path(head), body.clone())).collect()
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| {
        line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok()
    });
    body.len() >= length.unwrap_or(0)
}
