//! A file of the simulated disk.

use std::sync::Arc;

use super::CutStyle;
use super::chance::Chance;

/// What a disk writes as a whole, mostly.
const SECTOR: u64 = 512;

/// How many bytes a file can be longer than its data after a power cut.
const TAIL: u64 = 700;

#[derive(Clone, Debug, Default)]
pub(super) struct Inode {
    /// What a reader sees.
    pub(super) live: Arc<Vec<u8>>,
    /// What survives a power cut for certain.
    durable: Arc<Vec<u8>>,
    /// The changes that no sync has covered yet, in order.
    pending: Vec<Change>,
}

#[derive(Clone, Debug)]
pub(super) enum Change {
    Write {
        at: u64,
        bytes: Arc<[u8]>,
    },
    #[cfg(test)]
    Truncate(u64),
}

impl Inode {
    pub(super) fn durable(bytes: Arc<Vec<u8>>) -> Self {
        Self { live: bytes.clone(), durable: bytes, pending: Vec::new() }
    }

    pub(super) fn len(&self) -> u64 {
        self.live.len() as u64
    }

    pub(super) fn change(&mut self, change: Change) {
        change.apply(Arc::make_mut(&mut self.live));
        self.pending.push(change);
    }

    pub(super) fn sync(&mut self) {
        if !self.pending.is_empty() {
            let durable = Arc::make_mut(&mut self.durable);
            self.pending.drain(..).for_each(|change| change.apply(durable));
        }
    }

    /// A sync that failed: pages that were not written count as clean from then on, so that no later sync writes them, while
    /// readers go on seeing them. With `half`, the first half of the changes arrived.
    pub(super) fn fail_sync(&mut self, half: bool) {
        let arrived = if half { self.pending.len() / 2 } else { 0 };
        self.pending.truncate(arrived);
        self.sync();
    }

    /// The content after a power cut.
    pub(super) fn cut(&self, style: CutStyle, chance: &mut Chance) -> Arc<Vec<u8>> {
        if self.pending.is_empty() || style == CutStyle::Nothing {
            return self.durable.clone();
        }
        let mut bytes = Vec::clone(&self.durable);
        let whole = chance.part(self.pending.len());
        for (place, change) in self.pending.iter().enumerate() {
            match style {
                CutStyle::Nothing => {}
                CutStyle::Everything => change.apply(&mut bytes),
                CutStyle::Prefix if place < whole => change.apply(&mut bytes),
                CutStyle::Prefix if place == whole => change.tear(&mut bytes, chance),
                CutStyle::Prefix => {}
                CutStyle::Subset => {
                    if chance.one_in(2) {
                        change.apply(&mut bytes);
                    }
                }
                CutStyle::Torn => change.tear(&mut bytes, chance),
            }
        }
        let grew = self.pending.iter().any(|change| change.end() > self.durable.len() as u64);
        if grew && matches!(style, CutStyle::Subset | CutStyle::Torn) && chance.one_in(8) {
            // The length arrived, the data did not: zeros, or what was on the disk there before.
            let junk = chance.one_in(2);
            let length = chance.below(TAIL).saturating_add(1);
            bytes.extend((0..length).map(|_| if junk { chance.draw() as u8 } else { 0 }));
        }
        Arc::new(bytes)
    }

    #[cfg(test)]
    pub(super) fn flip(&mut self, bit: u64) -> bool {
        let place = usize::try_from(bit / 8).unwrap_or(usize::MAX);
        let mask = 1 << (bit % 8);
        let mut found = false;
        if place < self.live.len() {
            Arc::make_mut(&mut self.live).get_mut(place).into_iter().for_each(|byte| *byte ^= mask);
            found = true;
        }
        if place < self.durable.len() {
            Arc::make_mut(&mut self.durable).get_mut(place).into_iter().for_each(|byte| *byte ^= mask);
        }
        found
    }
}

impl Change {
    /// The offset behind the last byte that it writes.
    fn end(&self) -> u64 {
        match self {
            Self::Write { at, bytes } => at.saturating_add(bytes.len() as u64),
            #[cfg(test)]
            Self::Truncate(_) => 0,
        }
    }

    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write { at, bytes } => write(content, *at, bytes),
            #[cfg(test)]
            Self::Truncate(length) => content.resize(usize::try_from(*length).unwrap_or(usize::MAX), 0),
        }
    }

    /// Applies a part: of a write each sector whole, not at all, or cut at a byte.
    fn tear(&self, content: &mut Vec<u8>, chance: &mut Chance) {
        match self {
            #[cfg(test)]
            Self::Truncate(_) => {
                if chance.one_in(2) {
                    self.apply(content);
                }
            }
            Self::Write { at, bytes } => {
                let (mut at, mut rest) = (*at, &**bytes);
                while !rest.is_empty() {
                    let sector = usize::try_from(SECTOR - at % SECTOR).unwrap_or(1);
                    let (here, behind) = rest.split_at(sector.min(rest.len()));
                    let part = match chance.below(3) {
                        0 => 0,
                        1 => here.len(),
                        _ => chance.part(here.len()),
                    };
                    write(content, at, here.get(..part).unwrap_or_default());
                    at = at.saturating_add(here.len() as u64);
                    rest = behind;
                }
            }
        }
    }
}

fn write(content: &mut Vec<u8>, at: u64, bytes: &[u8]) {
    let start = usize::try_from(at).unwrap_or(usize::MAX);
    let end = start.saturating_add(bytes.len());
    if bytes.is_empty() {
        return;
    }
    if content.len() < end {
        content.resize(end, 0);
    }
    if let Some(place) = content.get_mut(start..end) {
        place.copy_from_slice(bytes);
    }
}
