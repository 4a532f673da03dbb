//! Upkeep in a thread, for stores that ask for it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::Inner;
use super::backing::error_of;
use super::maintain::Maintained;
use super::sync::{Builder, JoinHandle, Receiver, RecvTimeoutError, Sender, bounded, current};
use crate::error::Result;

/// How often the thread looks whether there is something to do.
const LOOK: Duration = Duration::from_millis(100);

/// The thread; it ends with this.
#[derive(Debug)]
pub(super) struct Background {
    stop: Sender<()>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    /// Starts the upkeep of `inner`, which it does not keep alive.
    pub(super) fn start(inner: &Arc<Inner>) -> Result<Self> {
        let (stop, stopped) = bounded(1);
        let weak = Arc::downgrade(inner);
        let thread = Builder::new().name("promgate-maintain".into()).spawn(move || run(&weak, &stopped));
        Ok(Self { stop, thread: Some(thread.map_err(error_of)?) })
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // The thread may have ended already, or be the one that drops the store.
        let _stopping = self.stop.try_send(());
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != current().id()
        {
            let _ended = thread.join();
        }
    }
}

/// Says that the store failed when the thread ends by a panic.
struct Watch<'a>(&'a Weak<Inner>);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(inner) = self.0.upgrade()
            && let Some(disk) = &inner.disk
        {
            disk.sync.fail("the thread of its upkeep has died");
        }
    }
}

fn run(inner: &Weak<Inner>, stopped: &Receiver<()>) {
    let _watch = Watch(inner);
    while stopped.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
        let Some(inner) = inner.upgrade() else { return };
        // Failures show in the store's health, and are tried again at the next look.
        while matches!(inner.maintain(), Ok(Maintained::Step)) {
            if stopped.try_recv().is_ok() {
                return;
            }
        }
    }
}
