//! Threads that meet in every order: small scenes under loom, which tries all orders, and larger ones under shuttle, which
//! draws many of them. The primitives come from `sync`; the disk is the simulated one, of which every call is a place where
//! threads can change.
//!
//! `bash .ci/long loom`, and `bash .ci/long shuttle` with the number of orders by scene.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    reason = "an order in which something goes wrong stops the test"
)]

mod log;
mod store;

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::planted::{Bug, plant};
use super::sync::{Builder, JoinHandle};

/// Bytes of stack of every thread but the first; the checkers' own are small.
const STACK: usize = 1 << 20;

/// What one order of threads runs through. The first thread waits for the others.
type Scene = fn();

fn spawn<T: 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T>
where
    T: Send,
{
    // loom counts words.
    let size = if cfg!(loom) { STACK / size_of::<usize>() } else { STACK };
    Builder::new().stack_size(size).spawn(work).unwrap()
}

/// Runs the scene under the orders that the checker tries; of loom's those with at most so many changes of thread that no
/// waiting asks for, and as many more as `SCHEDULES` says. Says how many they were.
fn explore(changes: Option<usize>, scene: Scene) -> u64 {
    let orders = Arc::new(AtomicU64::new(0));
    let counted = orders.clone();
    let run = move || {
        counted.fetch_add(1, Ordering::Relaxed);
        spawn(scene).join().unwrap();
    };
    check(changes, run);
    orders.load(Ordering::Relaxed)
}

#[cfg(loom)]
fn check(changes: Option<usize>, run: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    let more: usize = std::env::var("SCHEDULES").map_or(0, |more| more.parse().unwrap());
    builder.preemption_bound = changes.map(|changes| changes + more);
    builder.max_branches = 1_000_000;
    builder.check(run);
}

#[cfg(shuttle)]
fn check(_changes: Option<usize>, run: impl Fn() + Send + Sync + 'static) {
    use shuttle::scheduler::{PctScheduler, RandomScheduler};
    use shuttle::{Config, Runner};

    let orders: usize = std::env::var("SCHEDULES").map_or(1000, |orders| orders.parse().unwrap());
    let mut config = Config::new();
    config.stack_size = STACK;
    let run = Arc::new(run);
    let again = run.clone();
    Runner::new(RandomScheduler::new(orders.div_ceil(2)), config.clone()).run(move || run());
    Runner::new(PctScheduler::new(3, orders / 2), config).run(move || again());
}

/// Runs the scene, and says what it was and how often.
fn holds(name: &str, changes: Option<usize>, scene: Scene) {
    let named = std::env::var("SCHEDULES_BUG").ok();
    plant(named.and_then(|named| BUGS.iter().copied().find(|bug| format!("{bug:?}") == named)));
    println!("{name}: {} orders", explore(changes, scene));
}

/// The bugs that these scenes have to catch.
const BUGS: &[Bug] = &[
    Bug::AcknowledgeBeforeSync,
    Bug::SyncCoversLater,
    Bug::OneWoken,
    Bug::FailureNotTold,
    Bug::RetrySync,
    Bug::HalfBatches,
    Bug::StaleSwap,
];

/// The test of this name fails with the bug, for this reason. In a process of its own: a checker that has found something
/// need not come to an end in order.
fn catches(bug: Bug, test: &str, reason: &str) {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("{}::{test}", module_path!().split_once("::").unwrap().1), "--nocapture"])
        .env("SCHEDULES_BUG", format!("{bug:?}"))
        .env("RUST_BACKTRACE", "0")
        // Of what is drawn there has to be enough; loom's bounds stay as they are.
        .env("SCHEDULES", if cfg!(loom) { "0" } else { "100000" })
        .output()
        .unwrap();
    let (said, told) = (String::from_utf8_lossy(&child.stdout), String::from_utf8_lossy(&child.stderr));
    assert!(said.contains("running 1 test"), "there is no test {test}");
    assert!(!child.status.success(), "not caught: {bug:?}");
    assert!(told.contains(reason), "{bug:?}: {told}");
    println!("{bug:?}: caught, {reason}");
}
