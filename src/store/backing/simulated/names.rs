//! The folder of the simulated disk.

use std::collections::BTreeMap;

use super::super::FileName;
use super::CutStyle;
use super::chance::Chance;

pub(super) type NameMap = BTreeMap<FileName, u64>;

/// Names, and the inodes they lead to.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    /// What a reader sees.
    pub(super) live: NameMap,
    /// What survives a power cut for certain.
    pub(super) durable: NameMap,
    /// The changes that no sync has covered yet, in order.
    pub(super) pending: Vec<NameChange>,
}

/// A change of names carries the inode: by name alone, a change that arrives without the ones before it would join a name
/// to a file that never had it.
#[derive(Clone, Copy, Debug)]
pub(super) enum NameChange {
    Link(FileName, u64),
    Rename(FileName, u64),
    Unlink(FileName, u64),
}

impl NameChange {
    fn inode(self) -> u64 {
        let (Self::Link(_, inode) | Self::Rename(_, inode) | Self::Unlink(_, inode)) = self;
        inode
    }

    fn apply(self, names: &mut NameMap) {
        match self {
            Self::Link(name, inode) => drop(names.insert(name, inode)),
            Self::Rename(to, inode) => {
                // A file has one name: whichever it had is gone.
                names.retain(|_, other| *other != inode);
                names.insert(to, inode);
            }
            Self::Unlink(name, inode) => {
                if names.get(&name) == Some(&inode) {
                    names.remove(&name);
                }
            }
        }
    }
}

impl Names {
    pub(super) fn change(&mut self, change: NameChange) {
        change.apply(&mut self.live);
        self.pending.push(change);
    }

    /// The first `count` changes become durable. The others stay as they were also after a sync that failed: file systems
    /// write names through a journal, in order, and stop altogether when that fails.
    pub(super) fn arrive(&mut self, count: usize) {
        for change in self.pending.drain(..count.min(self.pending.len())) {
            change.apply(&mut self.durable);
        }
    }

    /// Whether anything leads to this inode, or can after a power cut.
    pub(super) fn mention(&self, inode: u64) -> bool {
        let named = |names: &NameMap| names.values().any(|other| *other == inode);
        named(&self.live) || named(&self.durable) || self.pending.iter().any(|change| change.inode() == inode)
    }

    /// The names after a power cut.
    pub(super) fn cut(&self, style: CutStyle, chance: &mut Chance) -> NameMap {
        let mut names = self.durable.clone();
        let prefix = chance.part(self.pending.len());
        for (place, change) in self.pending.iter().enumerate() {
            let survives = match style {
                CutStyle::Nothing => false,
                CutStyle::Everything => true,
                CutStyle::Prefix => place < prefix,
                CutStyle::Subset | CutStyle::Torn => chance.one_in(2),
            };
            if survives {
                change.apply(&mut names);
            }
        }
        names
    }
}
