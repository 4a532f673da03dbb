//! An error at every call of a life, then a power cut, or a new process that goes on.

use std::io::ErrorKind;
use std::sync::Arc;

use super::super::backing::{Fault, SimulatedDisk};
use super::{Life, abandon, content, open};

/// Lets every call of one life fail in every way. Says how many errors that were.
pub(crate) fn io_errors(seed: u64) -> Result<u64, String> {
    let probe = Arc::new(SimulatedDisk::new(seed));
    let mut whole = Life::default();
    whole
        .live(&probe, seed)
        .map_err(|error| format!("seed {seed}: a life without faults failed: {error}"))?;
    let calls = probe.calls();
    let mut errors = 0;
    for op in 1..=calls {
        let mut faults = vec![Fault::ShortAt(op), Fault::ZeroWriteAt(op), Fault::FullAfter(op * 29)];
        for error in [ErrorKind::Other, ErrorKind::StorageFull, ErrorKind::QuotaExceeded] {
            for sticky in [false, true] {
                for only_sync in [false, true] {
                    faults.push(Fault::ErrorAt { op, error, sticky, only_sync });
                }
            }
        }
        for fault in faults {
            errors += 1;
            let disk = Arc::new(SimulatedDisk::new(seed));
            disk.set_fault(fault);
            let mut life = Life::default();
            let ended = life.live(&disk, seed);
            let what = format!("seed {seed}, {fault:?}, {:?}", ended.err().map(|error| error.to_string()));
            after_error(&disk, &life, seed, op, &what)
                .map_err(|wrong| format!("{wrong}\n{}", disk.trace().join("\n")))?;
        }
    }
    Ok(errors)
}

fn after_error(disk: &Arc<SimulatedDisk>, life: &Life, seed: u64, op: u64, what: &str) -> Result<(), String> {
    disk.set_fault(Fault::None);
    for cut in 0..2 {
        let left = Arc::new(disk.power_cut(op * 7 + cut));
        life.check(&left, seed, &format!("{what}, power cut"))?;
    }
    // A new process without a cut sees what the system still shows, which need not be on the disk.
    let next = Arc::new(disk.reopen());
    let mut life = life.clone();
    let store = open(&next, seed).map_err(|error| format!("{what}, new process: opening failed: {error}"))?;
    let found = content(&store.snapshot())
        .map_err(|error| format!("{what}, new process: reading failed: {error}"))?;
    let batches = life.prefix(&found).map_err(|wrong| format!("{what}, new process: {wrong}"))?;
    // What recovery shows is durable from here on.
    life.tried.truncate(batches);
    life.acknowledged = batches;
    let _taken = life.append(&store, seed);
    abandon(store);
    for cut in 0..2 {
        let left = Arc::new(next.power_cut(op * 11 + cut));
        life.check(&left, seed, &format!("{what}, new process, a batch, power cut"))?;
    }
    Ok(())
}
