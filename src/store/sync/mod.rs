//! Locks, conditions and threads of the store.
//!
//! Tests with `--cfg loom` or `--cfg shuttle` take those of the two model checkers instead, which try the orders in which
//! threads can meet: see `schedules`.

#[cfg(all(test, any(loom, shuttle)))]
mod model;
#[cfg(all(test, any(loom, shuttle)))]
pub(crate) use model::{
    Builder, Condvar, JoinHandle, Mutex, Receiver, RecvTimeoutError, RwLock, Sender, bounded, current,
};

#[cfg(not(all(test, any(loom, shuttle))))]
pub(crate) use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};
#[cfg(not(all(test, any(loom, shuttle))))]
pub(crate) use parking_lot::{Condvar, Mutex, RwLock};
#[cfg(not(all(test, any(loom, shuttle))))]
pub(crate) use std::thread::{Builder, JoinHandle, current};
