//! A disk that loses, tears and reorders whatever no sync covered, and fails where a test wants it to.
//!
//! Of every file it keeps what a reader sees (`live`), what is certain to survive a power cut (`durable`), and the changes
//! between the two; of the names as well. [`SimulatedDisk::power_cut`] makes a disk that could be found after a cut:
//! durable, and any part of the changes. One thread, one seed, one outcome.

mod chance;
mod fault;
mod inode;
mod names;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::super::sync::Mutex;
use super::{Backing, FileBytes, FileId, FileKind, FileName, exists, not_found, not_open, not_writable};
pub(crate) use chance::Chance;
pub(crate) use fault::Fault;
use fault::{Call, Verdict};
use inode::{Change, Inode};
use names::{NameChange, Names};

/// What of the changes since the last sync a power cut lets survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum CutStyle {
    /// Nothing.
    Nothing,
    /// Everything.
    Everything,
    /// So many changes in order, and a torn part of the next one.
    Prefix,
    /// Any changes, each whole.
    Subset,
    /// Any changes, each torn.
    Torn,
}

impl CutStyle {
    const ALL: [Self; 5] = [Self::Nothing, Self::Everything, Self::Prefix, Self::Subset, Self::Torn];

    fn any(chance: &mut Chance) -> Self {
        let place = usize::try_from(chance.below(5)).unwrap_or_default();
        Self::ALL.get(place).copied().unwrap_or(Self::Nothing)
    }
}

/// How long each look at the clock takes.
const TICK: Duration = Duration::from_micros(1);

/// No file grows longer: a position that means nothing must not ask for memory.
const LONGEST: u64 = 1 << 30;

/// How many of the last calls are kept for [`SimulatedDisk::trace`].
const TRACED: usize = 10_000;

/// The simulated disk, and the process that uses it.
#[derive(Debug)]
pub(crate) struct SimulatedDisk {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    inodes: BTreeMap<u64, Inode>,
    names: Names,
    open: HashMap<u64, Handle>,
    next: u64,
    calls: u64,
    fault: Fault,
    crashed: bool,
    /// Bytes that its files may have together.
    capacity: Option<u64>,
    /// What faults do. Not what salts come from: those stay the same wherever a fault is put.
    chance: Chance,
    salts: Chance,
    elapsed: Duration,
    origin: String,
    trace: VecDeque<(u64, Call, Verdict)>,
}

#[derive(Clone, Copy, Debug)]
struct Handle {
    inode: u64,
    name: FileName,
    writable: bool,
}

impl SimulatedDisk {
    /// An empty disk.
    pub(crate) fn new(seed: u64) -> Self {
        Self::with(seed, format!("an empty disk of seed {seed}"), None)
    }

    /// A disk with these files, all durable.
    pub(crate) fn from_files<B: Into<Arc<Vec<u8>>>>(
        seed: u64,
        files: impl IntoIterator<Item = (FileName, B)>,
    ) -> Self {
        let disk = Self::with(seed, format!("a disk of files, seed {seed}"), None);
        let mut state = disk.state.lock();
        for (name, bytes) in files {
            state.add(name, bytes.into());
        }
        drop(state);
        disk
    }

    fn with(seed: u64, origin: String, capacity: Option<u64>) -> Self {
        let mut seeds = Chance::new(seed);
        let state = State {
            inodes: BTreeMap::new(),
            names: Names::default(),
            open: HashMap::new(),
            next: 0,
            calls: 0,
            fault: Fault::None,
            crashed: false,
            capacity,
            chance: Chance::new(seeds.draw()),
            salts: Chance::new(seeds.draw()),
            elapsed: Duration::ZERO,
            origin,
            trace: VecDeque::new(),
        };
        Self { state: Mutex::new(state) }
    }

    /// What is to go wrong from here on. Calls are counted from 1 again. A disk that was full has room again, unless it
    /// is [`Fault::FullAfter`].
    pub(crate) fn set_fault(&self, fault: Fault) {
        let mut state = self.state.lock();
        state.calls = 0;
        state.capacity = match fault {
            Fault::FullAfter(bytes) => Some(state.used().saturating_add(bytes)),
            _ => None,
        };
        state.fault = fault;
    }

    /// How many calls there were since the fault was set. Asking for time or for a random number is none, nor is closing.
    pub(crate) fn calls(&self) -> u64 {
        self.state.lock().calls
    }

    /// Whether [`Fault::CrashAt`] was reached. Every call fails from there on.
    pub(crate) fn crashed(&self) -> bool {
        self.state.lock().crashed
    }

    /// Lets time pass.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn advance(&self, time: Duration) {
        let mut state = self.state.lock();
        state.elapsed = state.elapsed.saturating_add(time);
    }

    /// The disk as the same cut finds it for the same seed, which also picks the style. This one stays as it is.
    pub(crate) fn power_cut(&self, seed: u64) -> Self {
        let style = CutStyle::any(&mut Chance::new(seed));
        self.power_cut_in(style, seed)
    }

    /// The disk as a power cut of this style could leave it. Names survive by the same style or by another one: whether
    /// data or names go first is up to the file system. What the disk can hold stays the same.
    pub(crate) fn power_cut_in(&self, style: CutStyle, seed: u64) -> Self {
        let state = self.state.lock();
        let mut chance = Chance::new(seed);
        let drawn = CutStyle::any(&mut chance);
        let of_names = if chance.one_in(2) { style } else { drawn };
        let origin = format!("after a power cut of seed {seed}: data {style:?}, names {of_names:?}");
        // The process that finds it draws other salts than those before it.
        let seed = chance.draw() ^ state.salts.clone().draw();
        let disk = Self::with(seed, origin, state.capacity);
        let mut found = disk.state.lock();
        for (name, inode) in state.names.cut(of_names, &mut chance) {
            if let Some(inode) = state.inodes.get(&inode) {
                found.add(name, inode.cut(style, &mut chance));
            }
        }
        drop(found);
        disk
    }

    /// The disk as a process finds it that is started after this one ended without a power cut: all that was written is
    /// there, and as durable as it was. This one stays as it is.
    pub(crate) fn reopen(&self) -> Self {
        let state = self.state.lock();
        let seed = state.salts.clone().draw();
        let disk = Self::with(seed, "after the process before ended".to_owned(), state.capacity);
        let mut found = disk.state.lock();
        found.names = state.names.clone();
        let kept = state.inodes.iter().filter(|(number, _)| state.names.mention(**number));
        found.inodes = kept.map(|(number, inode)| (*number, inode.clone())).collect();
        found.next = state.next;
        drop(found);
        disk
    }

    /// Flips a bit of a file, for good. Whether there is such a bit.
    #[cfg(test)]
    pub(crate) fn flip(&self, name: FileName, bit: u64) -> bool {
        let mut state = self.state.lock();
        let inode = state.names.live.get(&name).copied();
        inode.and_then(|inode| state.inodes.get_mut(&inode)).is_some_and(|inode| inode.flip(bit))
    }

    /// All files as a reader sees them, sorted by name.
    pub(crate) fn files(&self) -> Vec<(FileName, Arc<Vec<u8>>)> {
        let state = self.state.lock();
        let live = |inode| state.inodes.get(inode).map(|inode| inode.live.clone());
        state.names.live.iter().filter_map(|(name, inode)| Some((*name, live(inode)?))).collect()
    }

    /// Where the disk comes from and the last 10,000 calls, one a line, for whoever has to understand a failed test.
    pub(crate) fn trace(&self) -> Vec<String> {
        let state = self.state.lock();
        let calls = state.trace.iter().map(|(number, call, verdict)| format!("{number} {call}{verdict}"));
        std::iter::once(state.origin.clone()).chain(calls).collect()
    }
}

impl State {
    fn number(&mut self) -> u64 {
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        number
    }

    /// Adds a durable file.
    fn add(&mut self, name: FileName, bytes: Arc<Vec<u8>>) {
        let number = self.number();
        self.inodes.insert(number, Inode::durable(bytes));
        self.names.live.insert(name, number);
        self.names.durable.insert(name, number);
    }

    /// Bytes of the files that have a name or are open.
    fn used(&self) -> u64 {
        let mut inodes: Vec<u64> = self.names.live.values().copied().collect();
        inodes.extend(self.open.values().map(|handle| handle.inode));
        inodes.sort_unstable();
        inodes.dedup();
        let lengths = inodes.iter().filter_map(|inode| self.inodes.get(inode)).map(Inode::len);
        lengths.fold(0, u64::saturating_add)
    }

    fn room(&self) -> u64 {
        self.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(self.used()))
    }

    /// Counts a call, and says what becomes of it.
    fn step(&mut self, call: Call) -> io::Result<Verdict> {
        if self.crashed {
            return Err(io::Error::other("the process crashed before this call"));
        }
        self.calls = self.calls.saturating_add(1);
        let verdict = self.fault.judge(self.calls, call);
        match verdict {
            Verdict::Crash => self.crashed = true,
            Verdict::Whole => {}
            // Those that happen once did.
            _ if !self.fault.is_sticky() => self.fault = Fault::None,
            _ => {}
        }
        if self.trace.len() >= TRACED {
            self.trace.pop_front();
        }
        self.trace.push_back((self.calls, call, verdict));
        Ok(verdict)
    }

    /// [`step`](Self::step) for a call that is done or not.
    fn whole(&mut self, call: Call) -> io::Result<()> {
        let verdict = self.step(call)?;
        verdict.failure(self.calls).map_or(Ok(()), Err)
    }

    fn handle(&self, file: FileId) -> io::Result<Handle> {
        self.open.get(&file.0).copied().ok_or_else(not_open)
    }

    fn inode(&mut self, number: u64) -> io::Result<&mut Inode> {
        self.inodes.get_mut(&number).ok_or_else(not_open)
    }

    fn opened(&mut self, inode: u64, name: FileName, writable: bool) -> FileId {
        let id = self.number();
        self.open.insert(id, Handle { inode, name, writable });
        FileId(id)
    }

    /// How long a file can become, with the room there is.
    fn longest(&mut self, inode: u64) -> io::Result<u64> {
        let room = self.room();
        Ok(self.inode(inode)?.len().saturating_add(room).min(LONGEST))
    }

    /// Writes as many of the bytes as there is room for.
    fn write(&mut self, inode: u64, at: u64, bytes: &[u8]) -> io::Result<usize> {
        let longest = self.longest(inode)?;
        let room = usize::try_from(longest.saturating_sub(at)).unwrap_or(usize::MAX);
        let part = bytes.get(..bytes.len().min(room)).unwrap_or_default();
        if part.is_empty() {
            return if bytes.is_empty() { Ok(0) } else { Err(io::ErrorKind::StorageFull.into()) };
        }
        self.inode(inode)?.change(Change::Write { at, bytes: part.into() });
        Ok(part.len())
    }
}

impl Backing for SimulatedDisk {
    fn create(&self, name: FileName) -> io::Result<FileId> {
        let name = name.checked()?;
        let mut state = self.state.lock();
        state.whole(Call::Create(name))?;
        if state.names.live.contains_key(&name) {
            return Err(exists(name));
        }
        if state.room() == 0 {
            // A name takes room as well.
            return Err(io::ErrorKind::StorageFull.into());
        }
        let inode = state.number();
        state.inodes.insert(inode, Inode::default());
        state.names.change(NameChange::Link(name, inode));
        Ok(state.opened(inode, name, true))
    }

    fn open(&self, name: FileName) -> io::Result<FileId> {
        let name = name.checked()?;
        let mut state = self.state.lock();
        state.whole(Call::Open(name))?;
        let inode = state.names.live.get(&name).copied().ok_or_else(|| not_found(name))?;
        Ok(state.opened(inode, name, name.kind == FileKind::Log))
    }

    fn read_at(&self, file: FileId, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut state = self.state.lock();
        let handle = state.handle(file)?;
        let verdict = state.step(Call::Read(handle.name, at, into.len()))?;
        if let Some(error) = verdict.failure(state.calls) {
            return Err(error);
        }
        let asked = verdict.length(into.len(), &mut state.chance);
        let live = state.inode(handle.inode)?.live.clone();
        let rest = usize::try_from(at).ok().and_then(|at| live.get(at..)).unwrap_or_default();
        let length = rest.len().min(asked);
        if let (Some(into), Some(bytes)) = (into.get_mut(..length), rest.get(..length)) {
            into.copy_from_slice(bytes);
        }
        Ok(length)
    }

    fn write_at(&self, file: FileId, at: u64, bytes: &[u8]) -> io::Result<usize> {
        at.checked_add(bytes.len() as u64).ok_or(io::ErrorKind::InvalidInput)?;
        let mut state = self.state.lock();
        let handle = state.handle(file)?;
        if !handle.writable {
            return Err(not_writable());
        }
        let verdict = state.step(Call::Write(handle.name, at, bytes.len()))?;
        let length = verdict.length(bytes.len(), &mut state.chance);
        let part = bytes.get(..length).unwrap_or_default();
        match verdict.failure(state.calls) {
            // One that failed, or that the process died in, may have done a part of its work.
            Some(error) => {
                drop(state.write(handle.inode, at, part));
                Err(error)
            }
            None => state.write(handle.inode, at, part),
        }
    }

    fn len(&self, file: FileId) -> io::Result<u64> {
        let mut state = self.state.lock();
        let handle = state.handle(file)?;
        state.whole(Call::Length(handle.name))?;
        Ok(state.inode(handle.inode)?.len())
    }

    #[cfg(test)]
    fn truncate(&self, file: FileId, length: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        let handle = state.handle(file)?;
        if !handle.writable {
            return Err(not_writable());
        }
        state.whole(Call::Truncate(handle.name, length))?;
        if length > state.longest(handle.inode)? {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.inode(handle.inode)?.change(Change::Truncate(length));
        Ok(())
    }

    fn sync(&self, file: FileId) -> io::Result<()> {
        let mut state = self.state.lock();
        let handle = state.handle(file)?;
        let outcome = state.whole(Call::Sync(handle.name));
        let half = state.chance.one_in(3);
        let crashed = state.crashed;
        let inode = state.inode(handle.inode)?;
        match outcome {
            Ok(()) => inode.sync(),
            Err(_) if crashed => {}
            Err(_) => inode.fail_sync(half),
        }
        outcome
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        let outcome = state.whole(Call::SyncNames);
        let waiting = state.names.pending.len();
        let arrived = match outcome {
            Ok(()) => waiting,
            Err(_) if state.crashed => 0,
            Err(_) => usize::try_from(state.chance.below(waiting as u64 + 1)).unwrap_or(waiting),
        };
        state.names.arrive(arrived);
        outcome
    }

    fn rename(&self, from: FileName, to: FileName) -> io::Result<()> {
        let (from, to) = (from.checked()?, to.checked()?);
        let mut state = self.state.lock();
        state.whole(Call::Rename(from, to))?;
        let inode = state.names.live.get(&from).copied().ok_or_else(|| not_found(from))?;
        state.names.change(NameChange::Rename(to, inode));
        Ok(())
    }

    fn remove(&self, name: FileName) -> io::Result<()> {
        let name = name.checked()?;
        let mut state = self.state.lock();
        state.whole(Call::Remove(name))?;
        let inode = state.names.live.get(&name).copied().ok_or_else(|| not_found(name))?;
        state.names.change(NameChange::Unlink(name, inode));
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<FileName>> {
        let mut state = self.state.lock();
        state.whole(Call::List)?;
        Ok(state.names.live.keys().copied().collect())
    }

    fn foreign(&self) -> io::Result<Vec<String>> {
        self.state.lock().whole(Call::Foreign)?;
        Ok(Vec::new())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let mut state = self.state.lock();
        state.whole(Call::FreeBytes)?;
        Ok(state.room())
    }

    fn close(&self, file: FileId) {
        self.state.lock().open.remove(&file.0);
    }

    fn map(&self, file: FileId) -> io::Result<FileBytes> {
        let mut state = self.state.lock();
        let handle = state.handle(file)?;
        state.whole(Call::Map(handle.name))?;
        if let Some(handle) = state.open.get_mut(&file.0) {
            handle.writable = false;
        }
        Ok(FileBytes::held(state.inode(handle.inode)?.live.clone()))
    }

    fn elapsed(&self) -> Duration {
        let mut state = self.state.lock();
        state.elapsed = state.elapsed.saturating_add(TICK);
        state.elapsed
    }

    fn random(&self) -> u64 {
        self.state.lock().salts.draw()
    }
}

#[cfg(test)]
mod tests;
