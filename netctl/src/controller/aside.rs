//! A thread for work that is one long chain of questions to the kernel, each of which waits for the last.
//!
//! Who asks and who reads the answer are tasks of one thread there: no other has to be woken for each, which takes longer
//! than the kernel does. And nobody else waits for the work, or it for them.

use tokio::{runtime, task::JoinHandle};

/// Runs `work`, and what it spawns, on a thread of its own.
pub(super) fn spawn(work: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    tokio::task::spawn_blocking(move || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        match runtime {
            Ok(runtime) => {
                runtime.block_on(work);
                // What waits for a disk is not waited for.
                runtime.shutdown_background();
            }
            // It is asked for what the daemon's own has had.
            Err(error) => tracing::error!(%error, "the reconcile loop cannot be started"),
        }
    })
}
