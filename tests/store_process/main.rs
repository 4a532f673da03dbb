//! A store in a real folder, beside real processes: what dies is a child of the test, what stays is the disk.
//!
//! - `kill`: a writing child is killed at any instant, over and over; every batch that it acknowledged is there, whole, bit
//!   for bit, and nothing else. `KILLS` says how often (100).
//! - `readers`: a store that is read beside its writer shows whole batches and never goes back; a snapshot outlives the
//!   files under it; there is one writer. `READ_SECONDS` says how long (3).
//! - `full`: a disk that is full, has room again, and can only be read. In a mount namespace of its own; where there is none
//!   it says `skipped`.
//! - `scarce`: no room for open files, and little for memory.
//!
//! The children are this binary, with a role in `STORE_ROLE`: `.ci/long` runs `writer` and `check` on other file systems.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::mem_forget,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise, and looks at real files and clocks"
)]
#![cfg(unix)]

mod child;
mod full;
mod kill;
mod readers;
mod scarce;
mod workload;

fn wanted(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

/// What a child does; nothing in the test run itself.
#[test]
fn role() {
    match std::env::var("STORE_ROLE").as_deref() {
        Ok("writer") => child::write(),
        Ok("check") => child::check(),
        Ok("full") => full::live(),
        Ok("handles") => scarce::without_handles(),
        Ok("series") => scarce::many_series(),
        Ok(role) => panic!("there is no role {role}"),
        Err(_) => {}
    }
}
