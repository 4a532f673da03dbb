//! Every bit of a store flipped, every length, every file missing or exchanged.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::Arc;

use super::super::Snapshot;
use super::super::backing::{FileName, SimulatedDisk};
use super::{Content, Dice, Life, abandon, content, open};
use crate::error::Error;
use crate::model::{SampleBuffer, Window};
use crate::source::{Item, SelectRequest, Source};

/// What became of a damaged store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Damaged {
    /// An error when it was opened or read.
    Detected,
    /// Nothing is missing.
    Harmless,
    /// The newest batches are missing, and the store says so.
    Reported,
    /// Something is missing or wrong, and nothing says so.
    Silent,
}

type Files = Vec<(FileName, Arc<Vec<u8>>)>;

fn build(seed: u64, batches: usize, closed: bool) -> Result<(Files, Life), String> {
    let disk = Arc::new(SimulatedDisk::new(seed));
    let mut life = Life::default();
    let store = open(&disk, seed).map_err(|error| error.to_string())?;
    for number in 0..batches {
        life.append(&store, seed).map_err(|error| error.to_string())?;
        if number % (batches / 5).max(1) == batches / 6 {
            life.delete(&store, seed).map_err(|error| error.to_string())?;
        }
        if number % (batches / 4).max(1) == batches / 8 {
            store.flush().map_err(|error| error.to_string())?;
        }
    }
    if closed {
        store.close().map_err(|error| error.to_string())?;
    }
    life.acknowledged = life.tried.len();
    let files = disk.files();
    abandon(store);
    Ok((files, life))
}

/// What a store holds, by series: times, and values as bits.
struct Whole(HashMap<String, (Vec<i64>, Vec<u64>)>);

impl Whole {
    fn new(content: &Content) -> Self {
        let mut series: HashMap<String, (Vec<i64>, Vec<u64>)> = HashMap::new();
        for ((labels, time), bits) in content {
            let (times, values) = series.entry(labels.clone()).or_default();
            times.push(*time);
            values.push(*bits);
        }
        Self(series)
    }

    /// Whether `snapshot` has this and nothing else. Stops at the first difference, and copies nothing: this is asked once
    /// for every bit.
    fn is_in(&self, snapshot: &Snapshot) -> Result<bool, Error> {
        let set = snapshot.select(&SelectRequest::new(&[], Window::ALL))?;
        let (mut buffer, mut labels, mut seen) = (SampleBuffer::default(), String::new(), 0);
        let mut same = true;
        for item in &set.items {
            let Item::Series(series) = item else { continue };
            buffer.clear();
            series.read(Window::ALL, &mut buffer)?;
            if buffer.times.is_empty() {
                continue;
            }
            labels.clear();
            write!(labels, "{}", series.labels()).unwrap();
            seen += 1;
            same &= self.0.get(&labels).is_some_and(|(times, values)| {
                *times == buffer.times
                    && values.iter().copied().eq(buffer.values.iter().map(|value| value.to_bits()))
            });
        }
        Ok(same && seen == self.0.len())
    }
}

/// `missing`: how many of the newest batches may be missing, if that is reported.
fn judge(
    files: &[(FileName, Arc<Vec<u8>>)],
    seed: u64,
    whole: &Whole,
    life: &Life,
    missing: usize,
) -> Damaged {
    let disk = Arc::new(SimulatedDisk::from_files(seed, files.iter().cloned()));
    let Ok(store) = open(&disk, seed) else { return Damaged::Detected };
    let snapshot = store.snapshot();
    let damaged = match whole.is_in(&snapshot) {
        Err(_) => Damaged::Detected,
        Ok(true) => Damaged::Harmless,
        Ok(false) => match content(&snapshot)
            .map(|found| life.prefix_from(life.tried.len().saturating_sub(missing), &found))
        {
            Ok(Ok(_)) if !store.losses().is_empty() => Damaged::Reported,
            _ => Damaged::Silent,
        },
    };
    drop(snapshot);
    abandon(store);
    damaged
}

/// Damages a store of so many batches in every way: at each bit and each length where `every` is 1, else at one of every so
/// many, which the seed picks. Says how many bytes the store had and how often it came to what; an error names the first
/// damage that passed silently.
pub(crate) fn damage(
    seed: u64,
    batches: usize,
    closed: bool,
    every: usize,
) -> Result<(usize, BTreeMap<Damaged, u64>), String> {
    let (files, life) = build(seed, batches, closed)?;
    let size = files.iter().map(|(_, bytes)| bytes.len()).sum();
    let mut dice = Dice::new(seed);
    let mut one_of_every = move |length: usize| -> Vec<usize> {
        let starts = (0..length).step_by(every.max(1));
        starts.map(|start| start + dice.below(every.min(length - start).max(1) as u64) as usize).collect()
    };
    let whole = Whole::new(&life.all(life.tried.len()));
    // What is cut off looks like what was never written, where nothing says how long the log is.
    let torn = if closed { 0 } else { usize::MAX };
    let mut counts = BTreeMap::new();
    let mut count = |files: &Files, missing: usize, what: String| {
        let damaged = judge(files, seed, &whole, &life, missing);
        *counts.entry(damaged).or_insert(0) += 1;
        if damaged == Damaged::Silent { Err(what) } else { Ok(()) }
    };
    for (at, (name, bytes)) in files.iter().enumerate() {
        let with = |bytes: Vec<u8>| {
            let mut files = files.clone();
            files[at].1 = Arc::new(bytes);
            files
        };
        for bit in one_of_every(bytes.len() * 8) {
            let mut flipped = (**bytes).clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            // Nothing vouches for the very last batch of a store that was not closed.
            count(&with(flipped), usize::from(!closed), format!("bit {bit} of {name} flipped"))?;
        }
        for length in one_of_every(bytes.len()) {
            count(
                &with(bytes[..length].to_vec()),
                torn,
                format!("{name} cut to {length} of {} bytes", bytes.len()),
            )?;
        }
        let mut missing = files.clone();
        missing.remove(at);
        count(&missing, 0, format!("{name} missing"))?;
        for (other, (other_name, other_bytes)) in files.iter().enumerate().filter(|(other, _)| *other != at) {
            let mut swapped = files.clone();
            swapped[at].1 = other_bytes.clone();
            count(&swapped, 0, format!("{other_name} in the place of {name}"))?;
            swapped[other].1 = bytes.clone();
            count(&swapped, 0, format!("{other_name} and {name} exchanged"))?;
        }
        for sector in 0..bytes.len().div_ceil(512) {
            for value in [0, 0xff] {
                let mut filled = (**bytes).clone();
                let end = (sector * 512 + 512).min(filled.len());
                filled[sector * 512..end].fill(value);
                count(&with(filled), torn, format!("sector {sector} of {name} filled with {value}"))?;
            }
            if bytes.len() > (sector + 2) * 512 {
                let mut exchanged = (**bytes).clone();
                let (first, second) = exchanged.split_at_mut((sector + 1) * 512);
                first[sector * 512..].swap_with_slice(&mut second[..512]);
                count(
                    &with(exchanged),
                    torn,
                    format!("sectors {sector} and {} of {name} exchanged", sector + 1),
                )?;
            }
        }
    }
    Ok((size, counts))
}
