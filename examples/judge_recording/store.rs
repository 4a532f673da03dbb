//! A recording as a store on disk: ingested once, judged from the store afterwards.

use std::io::ErrorKind;
use std::path::Path;

use promgate::{Durability, Limits, Store, StoreOptions};

use crate::failure::Failure;

/// So many exemplars of a recording are kept, for the traces that a failing check names.
const EXEMPLARS: usize = 10_000;

pub(crate) fn options() -> StoreOptions {
    let mut limits = Limits::default();
    limits.exemplars = EXEMPLARS;
    StoreOptions::new().limits(limits)
}

/// The store in this folder, filled by `ingest` if there is none.
///
/// It is filled in a folder beside it, which gets its name when the store is closed: a store that is there is whole.
pub(crate) fn on_disk(
    folder: &Path,
    ingest: impl FnOnce(&Store) -> Result<(), Failure>,
) -> Result<Store, Failure> {
    if !is_missing_or_empty(folder)? {
        if !folder.join("MANIFEST").is_file() {
            return Err(Failure::data(folder, "neither empty nor a store"));
        }
        let store = open(folder, options())?;
        eprintln!(
            "judge_recording: {}: {} samples there, judged from the store",
            folder.display(),
            samples(&store)
        );
        return Ok(store);
    }
    let io = |error| Failure::io(folder, error);
    let mut beside = folder.as_os_str().to_owned();
    beside.push(".part");
    let beside = Path::new(&beside);
    if beside.exists() {
        // An earlier run was interrupted; the recording still has everything.
        std::fs::remove_dir_all(beside).map_err(io)?;
    }
    std::fs::create_dir_all(beside).map_err(io)?;
    // The recording is the copy that counts: closing syncs, and nothing before that has to.
    let store = open(beside, options().durability(Durability::Never))?;
    ingest(&store)?;
    store.flush().and_then(|()| store.close()).map_err(|error| Failure::store(beside, &error))?;
    drop(store);
    if folder.exists() {
        std::fs::remove_dir(folder).map_err(io)?;
    }
    std::fs::rename(beside, folder).map_err(io)?;
    let store = open(folder, options())?;
    eprintln!(
        "judge_recording: {}: {} samples ingested, judged from the store",
        folder.display(),
        samples(&store)
    );
    Ok(store)
}

fn open(folder: &Path, options: StoreOptions) -> Result<Store, Failure> {
    Store::open(folder, options).map_err(|error| Failure::store(folder, &error))
}

fn samples(store: &Store) -> u64 {
    store.stats().samples
}

fn is_missing_or_empty(folder: &Path) -> Result<bool, Failure> {
    match std::fs::read_dir(folder) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        Err(error) => Err(Failure::io(folder, error)),
    }
}
