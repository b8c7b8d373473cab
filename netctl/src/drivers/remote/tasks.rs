//! What goes on with plugins while nobody waits for it: one task at a time for each network and each endpoint.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, watch};

use super::super::Error;

/// What a task is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aim {
    /// To have the plugin make it.
    Make,
    /// To tell it whether an endpoint is a way out.
    Lead(bool),
    /// To have it removed.
    Remove,
}

#[derive(Debug)]
enum State {
    Running,
    /// Nobody has asked yet why.
    Failed(Aim, Error),
}

/// The tasks, by the identifier of what they are about. One that has ended well is not there: what it was to do is done.
#[derive(Debug)]
pub(super) struct Tasks {
    states: Mutex<BTreeMap<String, State>>,
    /// Woken whenever one has ended.
    wake: Arc<Notify>,
    /// How many have ended.
    ended: watch::Sender<u64>,
}

impl Tasks {
    pub(super) fn new(wake: Arc<Notify>) -> Arc<Self> {
        let (ended, _) = watch::channel(0);
        Arc::new(Self { states: Mutex::default(), wake, ended })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, State>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the reconcile loop look at what it could not do before.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Begins a task, unless one has this aim and has failed, or one runs.
    ///
    /// # Errors
    /// [`Error::Pending`] while one runs; else that of the one that has failed.
    pub(super) fn poll<F>(self: &Arc<Self>, id: &str, aim: Aim, work: F) -> Result<(), Error>
    where
        F: Future<Output = Result<(), Error>> + Send + 'static,
    {
        let mut states = self.lock();
        match states.remove(id) {
            Some(State::Failed(other, error)) if other == aim => return Err(error),
            Some(State::Running) => drop(states.insert(id.to_owned(), State::Running)),
            Some(State::Failed(..)) | None => self.begin(&mut states, id, aim, work),
        }
        Err(Error::Pending)
    }

    /// Does it, after whatever goes on with the same, and waits for the end.
    pub(super) async fn run<F>(self: &Arc<Self>, id: &str, aim: Aim, work: F) -> Result<(), Error>
    where
        F: Future<Output = Result<(), Error>> + Send + 'static,
    {
        let mut ended = self.ended.subscribe();
        loop {
            {
                let mut states = self.lock();
                if !matches!(states.get(id), Some(State::Running)) {
                    self.begin(&mut states, id, aim, work);
                    break;
                }
            }
            // The sender is ours.
            drop(ended.changed().await);
        }
        loop {
            drop(ended.changed().await);
            let mut states = self.lock();
            match states.remove(id) {
                Some(State::Running) => drop(states.insert(id.to_owned(), State::Running)),
                Some(State::Failed(_, error)) => return Err(error),
                None => return Ok(()),
            }
        }
    }

    fn begin<F>(self: &Arc<Self>, states: &mut BTreeMap<String, State>, id: &str, aim: Aim, work: F)
    where
        F: Future<Output = Result<(), Error>> + Send + 'static,
    {
        states.insert(id.to_owned(), State::Running);
        let (tasks, id) = (Arc::clone(self), id.to_owned());
        drop(tokio::spawn(async move {
            let outcome = work.await;
            {
                let mut states = tasks.lock();
                match outcome {
                    Ok(()) => drop(states.remove(&id)),
                    Err(error) => drop(states.insert(id, State::Failed(aim, error))),
                }
            }
            tasks.ended.send_modify(|ended| *ended += 1);
            tasks.wake();
        }));
    }

    /// Whether one runs.
    pub(super) fn is_running(&self, id: &str) -> bool {
        matches!(self.lock().get(id), Some(State::Running))
    }
}
