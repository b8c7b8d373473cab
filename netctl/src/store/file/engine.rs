//! The thread that owns this process's connection.

use std::{
    fmt,
    os::fd::AsFd as _,
    path::Path,
    sync::{
        Arc,
        mpsc::{self, TryRecvError},
    },
    thread,
    time::{Duration, Instant},
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::eventfd::{EfdFlags, EventFd},
};
use tokio::sync::{oneshot, watch};

use super::{
    super::{Error, Revision},
    bell::Bell,
    db::Db,
    fault::place,
};

/// How often the file is looked at where there is no bell: it bounds how late others' changes are seen.
pub(super) const TICK: Duration = Duration::from_millis(40);

/// How often the file is looked at all the same where there is a bell: it bounds how late a change is seen whose
/// writer was killed before it rang, and how late a lease ends. A look takes some 0.1 ms.
const CALM_TICK: Duration = Duration::from_millis(200);

type Job = Box<dyn FnOnce(&mut Db) + Send>;

/// A handle on the thread. The thread ends when the last is dropped.
pub(super) struct Engine {
    jobs: mpsc::Sender<Job>,
    wake: Arc<EventFd>,
    revision: watch::Receiver<Revision>,
    place: String,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Engine {
    /// Opens the file on a thread of its own.
    pub(super) async fn start(path: &Path) -> Result<Arc<Self>, Error> {
        let place = place(path);
        let refuse = |reason: String| Error::Refused { place: place.clone(), reason };
        let wake = EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)
            .map_err(|error| refuse(format!("no descriptor to be had: {error}")))?;
        let wake = Arc::new(wake);
        let (jobs, queue) = mpsc::channel();
        let (opened, ready) = oneshot::channel();
        let (path, waker) = (path.to_owned(), Arc::clone(&wake));
        thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || match Db::open(&path) {
                Err(error) => drop(opened.send(Err(error))),
                Ok(db) => {
                    let bell = Bell::new(&path)
                        .inspect_err(|error| {
                            tracing::info!(%error, "no inotify: changes of other daemons are seen up to 40 ms later");
                        })
                        .ok();
                    let publish = watch::Sender::new(db.revision());
                    if opened.send(Ok(publish.subscribe())).is_ok() {
                        serve(db, &queue, &waker, bell.as_ref(), &publish);
                    }
                }
            })
            .map_err(|error| refuse(format!("no thread to be had: {error}")))?;
        let ended = || Error::Refused { place: place.clone(), reason: ENDED.to_owned() };
        let revision = ready.await.unwrap_or_else(|_| Err(ended()))?;
        Ok(Arc::new(Self { jobs, wake, revision, place }))
    }

    /// Runs a job on the thread. Where the caller goes away, it runs all the same.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Db) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |db| drop(answer.send(job(db))));
        if self.jobs.send(job).is_err() {
            return Err(self.gone());
        }
        // It can only fail because the counter is full, and then the thread is awake.
        self.wake.write(1).unwrap_or_default();
        answered.await.unwrap_or_else(|_| Err(self.gone()))
    }

    /// The store's revision, as it moves.
    pub(super) fn revision(&self) -> watch::Receiver<Revision> {
        self.revision.clone()
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// The thread is no more, which only a defect can bring about.
    pub(super) fn gone(&self) -> Error {
        Error::Refused { place: self.place.clone(), reason: ENDED.to_owned() }
    }
}

const ENDED: &str = "its thread has ended by a defect; restart the daemon";

fn serve(
    mut db: Db,
    queue: &mpsc::Receiver<Job>,
    wake: &EventFd,
    bell: Option<&Bell>,
    publish: &watch::Sender<Revision>,
) {
    let mut looked = Instant::now();
    loop {
        let idle = match queue.try_recv() {
            Ok(job) => {
                job(&mut db);
                false
            }
            Err(TryRecvError::Empty) => true,
            Err(TryRecvError::Disconnected) => return,
        };
        if idle || looked.elapsed() >= TICK {
            // An error here meets the next call too, which can tell it to somebody.
            if let Err(error) = db.tick() {
                tracing::debug!(%error, "cannot look at the store");
            }
            looked = Instant::now();
        }
        publish.send_if_modified(|known| {
            let moved = *known != db.revision();
            *known = db.revision();
            moved
        });
        if idle {
            rest(wake, bell);
        }
    }
}

/// Waits for a job, the bell, or the next look.
fn rest(wake: &EventFd, bell: Option<&Bell>) {
    let mut fds = vec![PollFd::new(wake.as_fd(), PollFlags::POLLIN)];
    fds.extend(bell.map(|bell| PollFd::new(bell.fd(), PollFlags::POLLIN)));
    let tick = if bell.is_some() { CALM_TICK } else { TICK };
    let timeout = PollTimeout::try_from(tick).unwrap_or(PollTimeout::MAX);
    // Only a signal can cut it short, and then there is one look more.
    poll(&mut fds, timeout).unwrap_or_default();
    wake.read().unwrap_or_default();
    if let Some(bell) = bell {
        bell.hush();
    }
}
