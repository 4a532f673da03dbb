//! Power cuts at every call of a life, and during what comes after.

use std::sync::Arc;

use super::super::backing::{Fault, SimulatedDisk};
use super::{Dice, Life, open};

/// Cuts the power at every call of one life, five times each, once more while recovering from that, and again after it.
/// Says how many cuts that were; stops after `limit`.
pub(crate) fn power_cuts(seed: u64, limit: u64) -> Result<u64, String> {
    let probe = Arc::new(SimulatedDisk::new(seed));
    let mut whole = Life::default();
    whole
        .live(&probe, seed)
        .map_err(|error| format!("seed {seed}: a life without faults failed: {error}"))?;
    let calls = probe.calls();
    let mut cuts = 0;
    for at in 1..=calls + 1 {
        let disk = Arc::new(SimulatedDisk::new(seed));
        disk.set_fault(Fault::CrashAt(at));
        let mut life = Life::default();
        let _ended = life.live(&disk, seed);
        for style in 0..5 {
            let what = format!("seed {seed}, call {at} of {calls}, cut {style}");
            let cut = seed.wrapping_mul(1000).wrapping_add(at * 10 + style);
            let outcome = one_cut(&disk, &life, seed, cut, &what, &mut cuts);
            if let Err(wrong) = outcome {
                return Err(format!("{wrong}\n{}", disk.trace().join("\n")));
            }
        }
        if cuts >= limit {
            break;
        }
    }
    Ok(cuts)
}

fn one_cut(
    disk: &SimulatedDisk,
    life: &Life,
    seed: u64,
    cut: u64,
    what: &str,
    cuts: &mut u64,
) -> Result<(), String> {
    let mut dice = Dice::new(cut);
    // The power is cut again while recovering.
    let recovering = Arc::new(disk.power_cut(cut));
    recovering.set_fault(Fault::CrashAt(1 + dice.below(24)));
    *cuts += 1;
    let outcome = open(&recovering, seed);
    if recovering.crashed() {
        drop(outcome);
        let again = Arc::new(recovering.power_cut(dice.next()));
        *cuts += 1;
        life.check(&again, seed, &format!("{what}, cut while recovering"))?;
    }
    let left = Arc::new(disk.power_cut(cut));
    let batches = life.check(&left, seed, what)?;
    // What a reader saw after recovery is there after the next cut as well.
    let promised = Life { acknowledged: batches, ..life.clone() };
    let again = Arc::new(left.power_cut(dice.next()));
    *cuts += 1;
    promised.check(&again, seed, &format!("{what}, cut after recovery")).map(drop)
}
