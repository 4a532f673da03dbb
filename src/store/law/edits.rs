//! Edited files of a valid store.

use std::sync::{Arc, OnceLock};

use super::super::backing::{Backing, FileKind, FileName, SimulatedDisk};
use super::super::file::HEADER;
use super::super::manifest::{Manifest, checksum};
use super::super::segment::Segment;
use super::super::sync::RwLock;
use super::written::batch;
use super::{Content, Script, abandon, content, deletion, open};
use crate::model::{MatchOp, Matcher, Timestamp, Window};

type Files = Vec<(FileName, Arc<Vec<u8>>)>;

/// A store's files, and what it holds after each of its batches.
struct Base {
    files: Files,
    contents: Vec<Content>,
}

const LOG_BYTES: u64 = 700;
const WINDOW: u64 = 1 << 40;

/// A store that was closed, and one that was not.
fn base(closed: bool) -> &'static Base {
    static BASES: [OnceLock<Base>; 2] = [OnceLock::new(), OnceLock::new()];
    BASES[usize::from(closed)].get_or_init(|| {
        let disk = Arc::new(SimulatedDisk::new(11));
        let store = open(&disk, LOG_BYTES, WINDOW).unwrap();
        let numbers: Vec<u8> =
            (0..4000_u32).map(|at| (at.wrapping_mul(at).wrapping_mul(2_654_435) >> 13) as u8).collect();
        let (mut script, mut now, mut counts) = (Script(&numbers), 1_000_000, [0.0; 5]);
        let mut contents = vec![Content::new()];
        for number in 0..24 {
            let mut appender = store.appender();
            let mut told = batch(&mut script, &mut now, &mut counts);
            if number % 4 == 3 {
                told.put_back(100_000, None);
            }
            told.append(&mut appender, |_, _| {}).unwrap();
            appender.commit().unwrap();
            contents.push(content(&store.snapshot()).unwrap());
            if number % 9 == 8 {
                let (matchers, start, end) = deletion(&mut script, now);
                let (start, end) = (Timestamp::from_millis(start), Timestamp::from_millis(end));
                store.delete_series(&matchers, start, end).unwrap();
                contents.push(content(&store.snapshot()).unwrap());
            }
            if number % 7 == 5 {
                store.flush().unwrap();
            }
        }
        if closed {
            store.close().unwrap();
        }
        let files = disk.files();
        abandon(store);
        Base { files, contents }
    })
}

/// Changes bytes as a script says.
fn edit(bytes: &mut Vec<u8>, script: &mut Script<'_>) {
    for _ in 0..=script.byte() % 4 {
        let at = script.below(bytes.len() + 1);
        match script.byte() % 6 {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, script.byte()),
            2 if at < bytes.len() => drop(bytes.remove(at)),
            3 => {
                let (length, to) = (script.below(64), script.below(bytes.len() + 1));
                let copied = bytes[at..bytes.len().min(at + length)].to_vec();
                bytes.splice(to..to, copied);
            }
            _ if at < bytes.len() => bytes[at] ^= script.byte().max(1),
            _ => {}
        }
    }
}

/// Makes the checksums of a segment's footer, sections and chunks right, as far as they can be found.
fn sign(bytes: &mut Vec<u8>) -> Option<()> {
    let salt = u64::from_le_bytes(bytes.get(24..32)?.try_into().ok()?);
    let end = bytes.len().checked_sub(12)?;
    let length = u32::from_le_bytes(bytes.get(end..end + 4)?.try_into().ok()?) as usize;
    let start = end.checked_sub(length)?;
    let footer = bytes.get(start..end)?;
    let footer = Segment::sign(footer, salt, bytes).unwrap_or_else(|| footer.to_vec());
    bytes.truncate(start);
    bytes.extend_from_slice(&footer);
    bytes.extend_from_slice(&u32::try_from(footer.len()).ok()?.to_le_bytes());
    bytes.extend_from_slice(&checksum(salt, &footer).to_le_bytes());
    bytes.extend_from_slice(b"PGSG");
    Some(())
}

/// Any bytes as a segment, and edits of a valid one, are an error, or what was sealed. With checksums that were made right again
/// anything may be read, but nothing panics.
pub(crate) fn assert_segment_opens(input: &[u8]) {
    let mut script = Script(input);
    let how = script.byte();
    let base = base(true);
    let segments: Vec<&(FileName, Arc<Vec<u8>>)> =
        base.files.iter().filter(|(name, _)| name.kind == FileKind::Segment).collect();
    let (name, whole) = segments[usize::from(how >> 2) % segments.len()];
    let mut bytes = (**whole).clone();
    if how & 1 == 0 {
        edit(&mut bytes, &mut script);
    } else {
        bytes.truncate(HEADER);
        bytes.extend_from_slice(script.0);
    }
    let signed = how & 2 != 0;
    let disk = SimulatedDisk::from_files(1, base.files.iter().cloned());
    let manifest = Manifest::read(&disk).unwrap().unwrap();
    let mut entry = *manifest.segments.iter().find(|segment| segment.number == name.number).unwrap();
    if signed {
        if sign(&mut bytes).is_none() {
            return;
        }
        entry.length = bytes.len() as u64;
        let end = bytes.len() - 8;
        entry.checksum = u32::from_le_bytes(bytes[end..end + 4].try_into().unwrap());
    }
    let same = bytes == **whole;
    let edited = SimulatedDisk::from_files(1, [(*name, bytes)]);
    let Ok(segment) = Segment::open(&edited as &dyn Backing, manifest.store, entry) else {
        assert!(!same, "what was written does not open");
        return;
    };
    let index = RwLock::default();
    let segment = Arc::new(segment);
    let verified = segment.verify(&index);
    assert!(!same || verified.is_ok(), "what was written does not verify: {verified:?}");
    // Whoever does not verify asks at once.
    for matchers in [
        vec![Matcher::equal("__name__", "d_bucket"), Matcher::equal("pod", "a")],
        vec![Matcher::new("__name__", MatchOp::Matches, "d_.*|up").unwrap(), Matcher::equal("le", "1")],
        vec![Matcher::new("pod", MatchOp::NotMatches, "[b-z]").unwrap()],
        vec![Matcher::new("pod", MatchOp::Matches, ".+").unwrap()],
    ] {
        let index = RwLock::default();
        let joined = segment.join(&index, &matchers);
        assert!(!same || joined.is_ok(), "{matchers:?}: {joined:?}");
        let mut values = hashbrown::HashSet::new();
        for name in ["__name__", "pod", "le"] {
            let told = segment.label_values(&index, name, &matchers, Window::ALL, &mut values);
            assert!(!same || told.is_ok(), "{name}: {told:?}");
        }
    }
}

/// An edited store is an error, or reports what it lacks, or holds what it held.
pub(crate) fn assert_store_opens(input: &[u8]) {
    let mut script = Script(input);
    let how = script.byte();
    let base = base(how & 1 == 0);
    let mut files = base.files.clone();
    for _ in 0..=(how >> 1) % 3 {
        let at = script.below(files.len());
        match script.byte() % 8 {
            0 => drop(files.remove(at)),
            1 => {
                let other = script.below(files.len());
                files[at].1 = files[other].1.clone();
            }
            _ => {
                let mut bytes = (*files[at].1).clone();
                edit(&mut bytes, &mut script);
                files[at].1 = Arc::new(bytes);
            }
        }
        if files.is_empty() {
            return;
        }
    }
    let has_manifest = files.iter().any(|(name, _)| name.kind == FileKind::Manifest);
    let has_data = files.iter().any(|(name, _)| matches!(name.kind, FileKind::Log | FileKind::Segment));
    let disk = Arc::new(SimulatedDisk::from_files(3, files));
    let Ok(store) = open(&disk, LOG_BYTES, WINDOW) else { return };
    assert!(has_manifest || !has_data, "a store without a manifest opens");
    let found = content(&store.snapshot());
    let whole = base.contents.last().unwrap();
    if let Ok(found) = found
        && found != *whole
    {
        assert!(!store.losses().is_empty() || !has_manifest, "samples are missing, and nothing says so");
        let whole_batches = base.contents.contains(&found);
        assert!(whole_batches || !has_manifest, "what is there are not the first batches");
    }
    abandon(store);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn edited_tables_of_a_segment_are_an_error_or_answers(
            how in any::<u8>(), edits in prop::collection::vec(any::<u8>(), 1..40),
        ) {
            // Edited, not replaced, and signed.
            let mut input = vec![how & !1 | 2];
            input.extend(edits);
            assert_segment_opens(&input);
        }
    }
}
