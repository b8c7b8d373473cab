//! The threads at one end of a load, and what they have counted so far.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
};

use super::{Error, cpu};

/// What a worker works with.
#[derive(Clone, Debug, Default)]
pub(super) struct Worker {
    count: Arc<Count>,
    stop: Arc<AtomicBool>,
}

/// Alone in its cache lines (adjacent ones are fetched together): whoever reads it does not slow others down.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Count(AtomicU64);

impl Worker {
    /// Says how much it was by now, in all.
    pub(super) fn counted(&self, all: u64) {
        self.count.0.store(all, Ordering::Relaxed);
    }

    /// Whether the worker is to end.
    pub(super) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// Workers that end when this goes: each looks at [`Worker::stopped`] at least every [`super::LOOK`].
#[derive(Debug)]
pub(super) struct Load<T> {
    counts: Vec<Arc<Count>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<T, Error>>>,
}

impl<T: Send + 'static> Load<T> {
    pub(super) fn new() -> Self {
        Self { counts: Vec::new(), stop: Arc::default(), threads: Vec::new() }
    }

    /// Starts one on `cpu`; it runs there when this returns.
    pub(super) fn start(
        &mut self,
        cpu: Option<usize>,
        work: impl FnOnce(&Worker) -> Result<T, Error> + Send + 'static,
    ) -> Result<(), Error> {
        let worker = Worker { count: Arc::default(), stop: Arc::clone(&self.stop) };
        self.counts.push(Arc::clone(&worker.count));
        let (sender, receiver) = mpsc::channel();
        let thread = thread::Builder::new().name("load".to_owned()).spawn(move || {
            cpu::pin(cpu)?;
            sender.send(()).map_err(|_nobody| Error::Panicked)?;
            work(&worker)
        });
        let thread = thread.map_err(Error::system("start a thread"))?;
        if receiver.recv().is_err() {
            joined(thread)?;
            return Err(Error::Panicked);
        }
        self.threads.push(thread);
        Ok(())
    }

    /// What all have counted by now.
    pub(super) fn count(&self) -> u64 {
        self.counts.iter().map(|count| count.0.load(Ordering::Relaxed)).sum()
    }

    /// Waits until each has come to its own end.
    pub(super) fn wait(mut self) -> Result<Vec<T>, Error> {
        std::mem::take(&mut self.threads).into_iter().map(joined).collect()
    }

    /// Asks them to end, and waits for that.
    pub(super) fn end(self) -> Result<Vec<T>, Error> {
        self.stop.store(true, Ordering::Relaxed);
        self.wait()
    }
}

impl<T> Drop for Load<T> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // Whoever wants to know what came of it has asked before.
            drop(thread.join());
        }
    }
}

fn joined<T>(thread: JoinHandle<Result<T, Error>>) -> Result<T, Error> {
    thread.join().map_err(|_panic| Error::Panicked)?
}

/// Whether a call only came to the end of its patience, or was interrupted.
pub(super) fn again(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
