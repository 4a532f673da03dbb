//! Crash safety on the simulated disk: power cuts, failing calls, damaged bytes, writers at once, and planted bugs that have
//! to be caught. And that a life is told by its seed: the same one leaves the same bytes.
//!
//! What makes the runs longer, or replays one: `CRASH_CUTS` power cuts, from seed `CRASH_FIRST` on, or `CRASH_SEED` alone;
//! `CRASH_SCRIPTS` lives with failing calls; stores of `CRASH_BATCHES` batches damaged at one of every `CRASH_EVERY` bits and
//! lengths, which `CRASH_DAMAGE` picks; `CRASH_BUG`, the one bug that is planted; `CRASH_GROUPS` rounds of four writers; `CRASH_LIVES` lives lived twice.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::sync::mpsc::channel;
use std::time::Duration;

use promgate::fuzzing::crash::{bugs, damage, group_commits, io_errors, life_files, plant_bug, power_cuts};

fn wanted(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

#[test]
fn no_power_cut_loses_or_invents_anything_or_keeps_a_store_from_opening() {
    if let Ok(seed) = std::env::var("CRASH_SEED") {
        power_cuts(seed.parse().unwrap(), u64::MAX).unwrap_or_else(|wrong| panic!("{wrong}"));
        return;
    }
    let first = wanted("CRASH_FIRST", 1);
    let (limit, mut cuts, mut seed) = (wanted("CRASH_CUTS", 200_000), 0, first);
    while cuts < limit {
        cuts += power_cuts(seed, limit - cuts).unwrap_or_else(|wrong| panic!("{wrong}"));
        seed += 1;
    }
    println!("{cuts} power cuts in {} lives", seed - first);
}

/// Lives that once went wrong, each by a bug of its own.
const WENT_WRONG: &[u64] = &[
    // A flush that found a seal under way sealed no more than that, and returned.
    1_000_020,
];

#[test]
fn lives_that_went_wrong_go_well() {
    for seed in WENT_WRONG {
        power_cuts(*seed, u64::MAX).unwrap_or_else(|wrong| panic!("{wrong}"));
    }
}

#[test]
fn no_failing_call_loses_anything() {
    let mut errors = 0;
    for seed in 1..=wanted("CRASH_SCRIPTS", 10) {
        errors += io_errors(seed).unwrap_or_else(|wrong| panic!("{wrong}"));
    }
    println!("{errors} failing calls");
}

#[test]
fn no_damage_passes_in_silence() {
    // Every place of a small store, and some of a store of 64 KiB with several segments.
    let small = (60, 1, true);
    let large = (3400, 37, std::env::var("CRASH_BATCHES").is_err());
    for (batches, every, _) in [small, large].into_iter().filter(|(.., wanted)| *wanted) {
        let batches = usize::try_from(wanted("CRASH_BATCHES", batches)).unwrap();
        let every = usize::try_from(wanted("CRASH_EVERY", every)).unwrap();
        let seed = wanted("CRASH_DAMAGE", 7);
        let runs = std::thread::scope(|scope| {
            let runs = [true, false].map(|closed| scope.spawn(move || damage(seed, batches, closed, every)));
            runs.map(|run| run.join().unwrap().unwrap_or_else(|wrong| panic!("{wrong}")))
        });
        for ((size, counts), closed) in runs.into_iter().zip([true, false]) {
            println!("{size} bytes, one of {every}, closed {closed}: {counts:?}");
            assert!(
                !counts.contains_key("Reported") || !closed,
                "a closed store has no torn end: {counts:?}"
            );
        }
    }
}

#[test]
fn the_same_seed_leaves_the_same_bytes() {
    let lives = wanted("CRASH_LIVES", 50);
    let mut bytes = 0;
    for seed in 1..=lives {
        let life = || life_files(seed).unwrap_or_else(|wrong| panic!("{wrong}"));
        let (once, again) = (life(), life());
        for ((name, first), (other, second)) in once.iter().zip(&again) {
            assert_eq!(name, other, "seed {seed}");
            assert!(first == second, "seed {seed}: {name} differs");
            bytes += first.len();
        }
        assert_eq!(once.len(), again.len(), "seed {seed}");
    }
    println!("{bytes} bytes of {lives} lives, twice the same");
    assert!(bytes > 0);
}

/// One round after the other until one goes wrong. A writer that waits for ever ends the test, not its patience.
fn group_rounds(rounds: u64, bug: &'static str) -> Result<(u64, u64), String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        plant_bug(bug);
        for seed in 1..=rounds {
            if sender.send(group_commits(seed)).is_err() {
                break;
            }
        }
    });
    let (mut acknowledged, mut syncs) = (0, 0);
    for seed in 1..=rounds {
        let round = receiver.recv_timeout(Duration::from_secs(60));
        let (more, by) =
            round.map_err(|error| format!("seed {seed}: a writer waits for ever: {error}"))??;
        acknowledged += more;
        syncs += by;
    }
    Ok((acknowledged, syncs))
}

#[test]
fn writers_at_once_share_syncs_and_their_failures() {
    let rounds = wanted("CRASH_GROUPS", 150);
    let (acknowledged, syncs) = group_rounds(rounds, "").unwrap_or_else(|wrong| panic!("{wrong}"));
    println!("{rounds} rounds: {acknowledged} commits by {syncs} syncs");
    assert!(syncs < acknowledged, "nobody shared a sync: {acknowledged} commits by {syncs} syncs");
    for bug in ["AcknowledgeBeforeSync", "RetrySync", "VisibleWithoutLog"] {
        let wrong = group_rounds(2000, bug).expect_err(bug);
        println!("{bug}: {}", wrong.lines().next().unwrap());
    }
}

/// In so many cuts a planted bug has to show; the one that hides longest takes half of them.
const PLANTED_CUTS: u64 = 60_000;

#[test]
fn every_planted_bug_is_caught() {
    let mut missed = Vec::new();
    let only = std::env::var("CRASH_BUG").ok();
    for bug in bugs().into_iter().filter(|bug| only.as_ref().is_none_or(|only| only == bug)) {
        plant_bug(&bug);
        let (mut cuts, mut seed, mut caught) = (0, 1, None);
        while cuts < PLANTED_CUTS && caught.is_none() {
            match power_cuts(seed, PLANTED_CUTS - cuts) {
                Ok(more) => cuts += more,
                Err(wrong) => caught = Some(wrong),
            }
            seed += 1;
        }
        let caught = caught
            .or_else(|| (1..3).find_map(|seed| io_errors(seed).err()))
            .or_else(|| [true, false].into_iter().find_map(|closed| damage(7, 24, closed, 1).err()));
        plant_bug("");
        match caught {
            Some(wrong) => println!("{bug}: {}", wrong.lines().next().unwrap()),
            None => missed.push(bug),
        }
    }
    assert!(missed.is_empty(), "not caught: {missed:?}");
}
