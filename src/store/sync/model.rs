//! The same with the primitives of a model checker, in the shape of those that the store uses.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, LockResult, PoisonError, TryLockError};
use std::time::Duration;

#[cfg(loom)]
use loom::sync as checked;
#[cfg(loom)]
pub(crate) use loom::thread::{Builder, JoinHandle, current};
#[cfg(shuttle)]
use shuttle::sync as checked;
#[cfg(shuttle)]
pub(crate) use shuttle::thread::{Builder, JoinHandle, current};

/// A panic in a thread that holds a lock ends the whole test.
fn held<G>(guard: LockResult<G>) -> G {
    guard.unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug)]
pub(crate) struct Mutex<T>(checked::Mutex<T>);

/// `None` only while it waits at a condition.
pub(crate) struct MutexGuard<'a, T>(Option<checked::MutexGuard<'a, T>>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(checked::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard(Some(held(self.0.lock())))
    }

    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(MutexGuard(Some(guard))),
            Err(TryLockError::Poisoned(guard)) => Some(MutexGuard(Some(guard.into_inner()))),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().unwrap()
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().unwrap()
    }
}

#[derive(Debug)]
pub(crate) struct Condvar(checked::Condvar);

impl Condvar {
    pub(crate) fn new() -> Self {
        Self(checked::Condvar::new())
    }

    pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        guard.0 = guard.0.take().map(|guard| held(self.0.wait(guard)));
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}

#[derive(Debug)]
pub(crate) struct RwLock<T>(checked::RwLock<T>);

impl<T> RwLock<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(checked::RwLock::new(value))
    }

    pub(crate) fn read(&self) -> checked::RwLockReadGuard<'_, T> {
        held(self.0.read())
    }

    pub(crate) fn write(&self) -> checked::RwLockWriteGuard<'_, T> {
        held(self.0.write())
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

/// So often a receiver's time runs out before it waits for good: without a clock it could run out for ever.
const PATIENCE: u32 = 2;

#[derive(Debug)]
struct Channel<T> {
    state: Mutex<Queue<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct Queue<T> {
    waiting: VecDeque<T>,
    most: usize,
    disconnected: bool,
    timeouts: u32,
}

#[derive(Debug)]
pub(crate) struct Sender<T>(Arc<Channel<T>>);

#[derive(Debug)]
pub(crate) struct Receiver<T>(Arc<Channel<T>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecvTimeoutError {
    Timeout,
    Disconnected,
}

pub(crate) fn bounded<T>(most: usize) -> (Sender<T>, Receiver<T>) {
    let queue = Queue { waiting: VecDeque::new(), most, disconnected: false, timeouts: 0 };
    let channel = Arc::new(Channel { state: Mutex::new(queue), changed: Condvar::new() });
    (Sender(channel.clone()), Receiver(channel))
}

impl<T> Sender<T> {
    pub(crate) fn try_send(&self, value: T) -> Result<(), T> {
        let mut state = self.0.state.lock();
        if state.disconnected || state.waiting.len() >= state.most {
            return Err(value);
        }
        state.waiting.push_back(value);
        self.0.changed.notify_all();
        Ok(())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.state.lock().disconnected = true;
        self.0.changed.notify_all();
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.0.state.lock().disconnected = true;
    }
}

impl<T> Receiver<T> {
    pub(crate) fn recv_timeout(&self, _patience: Duration) -> Result<T, RecvTimeoutError> {
        let mut state = self.0.state.lock();
        loop {
            if let Some(value) = state.waiting.pop_front() {
                return Ok(value);
            }
            if state.disconnected {
                return Err(RecvTimeoutError::Disconnected);
            }
            if state.timeouts < PATIENCE {
                state.timeouts += 1;
                return Err(RecvTimeoutError::Timeout);
            }
            self.0.changed.wait(&mut state);
        }
    }

    pub(crate) fn try_recv(&self) -> Result<T, ()> {
        self.0.state.lock().waiting.pop_front().ok_or(())
    }
}
