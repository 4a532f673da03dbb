//! The three backings are one: whatever is asked of them, they answer the same.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Create(FileName),
    Open(FileName),
    Read(usize, u64, usize),
    Write(usize, u64, Vec<u8>),
    Length(usize),
    Truncate(usize, u64),
    Sync(usize),
    SyncNames,
    Rename(FileName, FileName),
    Remove(FileName),
    List,
    Close(usize),
    Map(usize),
    ReadMapped(usize, u64, u64),
}

fn name() -> impl Strategy<Value = FileName> {
    let kinds = [
        FileKind::Manifest,
        FileKind::NewManifest,
        FileKind::Log,
        FileKind::NewLog,
        FileKind::Segment,
        FileKind::NewSegment,
        FileKind::Quarantine,
    ];
    (prop::sample::select(kinds.to_vec()), 0..2_u64).prop_map(|(kind, number)| FileName::new(kind, number))
}

fn step() -> impl Strategy<Value = Step> {
    let file = 0..12_usize;
    let at = 0..40_u64;
    prop_oneof![
        4 => name().prop_map(Step::Create),
        3 => name().prop_map(Step::Open),
        3 => (file.clone(), at.clone(), 0..50_usize).prop_map(|(file, at, length)| Step::Read(file, at, length)),
        5 => (file.clone(), at.clone(), prop::collection::vec(any::<u8>(), 0..20))
            .prop_map(|(file, at, bytes)| Step::Write(file, at, bytes)),
        1 => file.clone().prop_map(Step::Length),
        2 => (file.clone(), at.clone()).prop_map(|(file, length)| Step::Truncate(file, length)),
        1 => file.clone().prop_map(Step::Sync),
        1 => Just(Step::SyncNames),
        3 => (name(), name()).prop_map(|(from, to)| Step::Rename(from, to)),
        2 => name().prop_map(Step::Remove),
        1 => Just(Step::List),
        1 => file.clone().prop_map(Step::Close),
        2 => file.clone().prop_map(Step::Map),
        2 => (file, at.clone(), at).prop_map(|(file, start, end)| Step::ReadMapped(file, start, end)),
    ]
}

/// A backing with what was opened on it, by order of opening.
struct Driven {
    backing: Arc<dyn Backing>,
    files: Vec<FileId>,
    mapped: Vec<FileBytes>,
}

impl Driven {
    fn file(&self, place: usize) -> io::Result<FileId> {
        self.files.get(place).copied().ok_or_else(not_open)
    }

    /// What a step answers, in comparable form.
    fn answer(&mut self, step: &Step) -> io::Result<String> {
        let backing = self.backing.clone();
        match step {
            Step::Create(name) => self.files.push(backing.create(*name)?),
            Step::Open(name) => self.files.push(backing.open(*name)?),
            Step::Read(file, at, length) => {
                let mut into = vec![0; *length];
                let read = backing.read_at(self.file(*file)?, *at, &mut into)?;
                return Ok(format!("{:?}", &into[..read]));
            }
            Step::Write(file, at, bytes) => {
                return Ok(backing.write_at(self.file(*file)?, *at, bytes)?.to_string());
            }
            Step::Length(file) => return Ok(backing.len(self.file(*file)?)?.to_string()),
            Step::Truncate(file, length) => backing.truncate(self.file(*file)?, *length)?,
            Step::Sync(file) => backing.sync(self.file(*file)?)?,
            Step::SyncNames => backing.sync_names()?,
            Step::Rename(from, to) => backing.rename(*from, *to)?,
            Step::Remove(name) => backing.remove(*name)?,
            Step::List => return Ok(format!("{:?} {:?}", backing.list()?, backing.foreign()?)),
            Step::Close(file) => backing.close(self.file(*file)?),
            Step::Map(file) => self.mapped.push(backing.map(self.file(*file)?)?),
            Step::ReadMapped(file, start, end) => {
                let bytes = self.mapped.get(*file).ok_or_else(not_open)?;
                return Ok(format!("{} {:?}", bytes.len(), bytes.read(*start..*end)?));
            }
        }
        Ok(String::new())
    }
}

fn driven(backing: impl Backing + 'static) -> Driven {
    Driven { backing: Arc::new(backing), files: Vec::new(), mapped: Vec::new() }
}

fn folder(path: &std::path::Path, read_mode: ReadMode) -> Driven {
    driven(FolderBacking::open_with(path, FolderOptions { read_mode, ..FolderOptions::default() }).unwrap())
}

proptest! {
    #[test]
    fn a_folder_memory_and_a_simulated_disk_answer_the_same(steps in prop::collection::vec(step(), 1..60)) {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut mapped = folder(one.path(), ReadMode::Mapped);
        let mut others = [
            ("positioned", folder(other.path(), ReadMode::Positioned)),
            ("memory", driven(MemoryBacking::new(1 << 20))),
            ("simulated", driven(SimulatedDisk::new(1))),
        ];
        for step in &steps {
            let expected = mapped.answer(step).map_err(|error| error.kind());
            for (which, other) in &mut others {
                let answer = other.answer(step).map_err(|error| error.kind());
                prop_assert_eq!(&answer, &expected, "{} {:?}", which, step);
            }
        }
    }
}
