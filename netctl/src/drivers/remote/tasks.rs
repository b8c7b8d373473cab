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
    Lead,
    /// To have it removed.
    Remove,
}

#[derive(Debug)]
enum State {
    Running,
    /// Nobody has asked yet how it ended.
    Ended(Aim, Result<(), Error>),
}

/// The tasks, by the identifier of what they are about.
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

    /// How the task of this aim has ended; it is begun where there is none.
    ///
    /// # Errors
    /// [`Error::Pending`] while one runs; else the task's own.
    pub(super) fn poll<F>(self: &Arc<Self>, id: &str, aim: Aim, work: F) -> Result<(), Error>
    where
        F: Future<Output = Result<(), Error>> + Send + 'static,
    {
        let mut states = self.lock();
        match states.remove(id) {
            Some(State::Running) => {}
            Some(State::Ended(other, outcome)) if other == aim => return outcome,
            Some(State::Ended(..)) | None => {
                let (tasks, id) = (Arc::clone(self), id.to_owned());
                drop(tokio::spawn(async move {
                    let outcome = work.await;
                    tasks.lock().insert(id, State::Ended(aim, outcome));
                    tasks.ended.send_modify(|ended| *ended += 1);
                    tasks.wake.notify_one();
                }));
            }
        }
        states.insert(id.to_owned(), State::Running);
        Err(Error::Pending)
    }

    /// Does it, after whatever goes on with the same, and waits for the end.
    pub(super) async fn run<F>(
        self: &Arc<Self>,
        id: &str,
        aim: Aim,
        work: impl Fn() -> F,
    ) -> Result<(), Error>
    where
        F: Future<Output = Result<(), Error>> + Send + 'static,
    {
        let mut ended = self.ended.subscribe();
        loop {
            match self.poll(id, aim, work()) {
                // The sender is ours.
                Err(Error::Pending) => drop(ended.changed().await),
                outcome => return outcome,
            }
        }
    }

    /// Whether one runs.
    pub(super) fn is_running(&self, id: &str) -> bool {
        matches!(self.lock().get(id), Some(State::Running))
    }
}
