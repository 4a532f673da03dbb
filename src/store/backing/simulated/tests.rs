use std::collections::HashSet;

use super::super::{read_exact_at, write_all_at};
use super::*;

const LOG: FileName = FileName { kind: FileKind::Log, number: 1 };
const OLD: FileName = FileName { kind: FileKind::Segment, number: 1 };
const NEW: FileName = FileName { kind: FileKind::NewSegment, number: 1 };

const NOTHING: CutStyle = CutStyle::Nothing;

/// A disk on which the log holds these bytes, durable, and is open.
fn with_log(bytes: &[u8]) -> (SimulatedDisk, FileId) {
    let disk = SimulatedDisk::from_files(1, [(LOG, bytes.to_vec())]);
    let file = disk.open(LOG).unwrap();
    (disk, file)
}

fn content(disk: &SimulatedDisk, name: FileName) -> Option<Vec<u8>> {
    let files = disk.files();
    files.into_iter().find(|(other, _)| *other == name).map(|(_, bytes)| bytes.to_vec())
}

/// The contents that cuts of this style leave, with how many of `seeds` led to each.
fn found(disk: &SimulatedDisk, style: CutStyle, seeds: u64) -> BTreeMap<Option<Vec<u8>>, u64> {
    let mut found = BTreeMap::new();
    for seed in 0..seeds {
        *found.entry(content(&disk.power_cut_in(style, seed), LOG)).or_default() += 1;
    }
    found
}

#[test]
fn a_file_survives_when_both_its_data_and_its_name_were_synced() {
    let disk = SimulatedDisk::new(1);
    let file = disk.create(LOG).unwrap();
    write_all_at(&disk, file, 0, b"abc").unwrap();
    disk.sync(file).unwrap();
    // The name is not durable: it is lost by whatever loses names, and only by that.
    for (content, _) in found(&disk, NOTHING, 99) {
        assert!(content.is_none_or(|bytes| bytes == b"abc"));
    }
    assert!(found(&disk, NOTHING, 99).contains_key(&None));
    disk.sync_names().unwrap();
    let kept = BTreeMap::from([(Some(b"abc".to_vec()), 99)]);
    for style in CutStyle::ALL {
        assert_eq!(found(&disk, style, 99), kept);
    }

    // A durable name says nothing of the data behind it.
    let disk = SimulatedDisk::new(1);
    let file = disk.create(LOG).unwrap();
    write_all_at(&disk, file, 0, b"abc").unwrap();
    disk.sync_names().unwrap();
    assert_eq!(found(&disk, NOTHING, 9), BTreeMap::from([(Some(vec![]), 9)]));
    assert_eq!(found(&disk, CutStyle::Everything, 9), BTreeMap::from([(Some(b"abc".to_vec()), 9)]));
}

#[test]
fn each_style_leaves_what_it_says() {
    let (disk, file) = with_log(b"--");
    for (at, byte) in (0..).zip(b"abc") {
        write_all_at(&disk, file, at, &[*byte]).unwrap();
    }
    let texts = |style| -> Vec<String> {
        let texts = found(&disk, style, 4_000).into_keys().flatten();
        // Tails are looked at below.
        let texts =
            texts.filter(|bytes| bytes.len() <= 3).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        texts.filter(|text| text.chars().all(|byte| "-abc\0".contains(byte))).collect()
    };
    assert_eq!(texts(NOTHING), ["--"]);
    assert_eq!(texts(CutStyle::Everything), ["abc"]);
    assert_eq!(texts(CutStyle::Prefix), ["--", "a-", "ab", "abc"]);
    for style in [CutStyle::Subset, CutStyle::Torn] {
        let mut texts = texts(style);
        // A third byte can also be a tail of one zero.
        texts.retain(|text| !text.contains('\0'));
        assert_eq!(texts, ["--", "--c", "-b", "-bc", "a-", "a-c", "ab", "abc"], "{style:?}");
    }
}

#[test]
fn writes_are_torn_by_sector_and_within() {
    let (disk, file) = with_log(&[1; 1500]);
    write_all_at(&disk, file, 100, &[2; 1200]).unwrap();
    let (mut whole, mut absent, mut cut) = (0, 0, 0);
    for seed in 0..500 {
        let bytes = content(&disk.power_cut_in(CutStyle::Torn, seed), LOG).unwrap();
        assert_eq!(bytes.len(), 1500);
        for sector in [100..512, 512..1024, 1024..1300] {
            let sector = &bytes[sector];
            let written = sector.iter().take_while(|byte| **byte == 2).count();
            assert!(sector[written..].iter().all(|byte| *byte == 1));
            match written {
                0 => absent += 1,
                written if written == sector.len() => whole += 1,
                _ => cut += 1,
            }
        }
        assert!(bytes[..100].iter().chain(&bytes[1300..]).all(|byte| *byte == 1));
    }
    assert!(whole > 300 && absent > 300 && cut > 300, "{whole} {absent} {cut}");
}

#[test]
fn a_file_that_grew_may_end_in_zeros_or_junk() {
    let (disk, file) = with_log(b"durable");
    write_all_at(&disk, file, 7, b"new").unwrap();
    let (mut zeros, mut junk, mut longest) = (0, 0, 0);
    for (bytes, seeds) in found(&disk, CutStyle::Subset, 4_000) {
        let bytes = bytes.unwrap();
        assert!(bytes.starts_with(b"durable"));
        let tail = &bytes[7..];
        let tail = tail.strip_prefix(b"new").unwrap_or(tail);
        longest = longest.max(tail.len());
        match tail {
            [] => {}
            tail if tail.iter().all(|byte| *byte == 0) => zeros += seeds,
            _ => junk += seeds,
        }
    }
    assert!((150..350).contains(&zeros) && (150..350).contains(&junk), "{zeros} {junk}");
    assert!((650..=700).contains(&longest), "{longest}");
    // One that did not grow does not.
    let (disk, file) = with_log(b"durable");
    write_all_at(&disk, file, 0, b"D").unwrap();
    disk.truncate(file, 5).unwrap();
    let lengths = found(&disk, CutStyle::Torn, 500).into_keys().map(|bytes| bytes.unwrap().len());
    assert_eq!(lengths.collect::<HashSet<_>>(), HashSet::from([5, 7]));
}

#[test]
fn a_failed_sync_is_final_while_readers_go_on_seeing_the_data() {
    let mut halves = HashSet::new();
    for seed in 0..40 {
        let disk = SimulatedDisk::from_files(seed, [(LOG, b"--".to_vec())]);
        let file = disk.open(LOG).unwrap();
        write_all_at(&disk, file, 0, b"a").unwrap();
        write_all_at(&disk, file, 1, b"b").unwrap();
        let error = io::ErrorKind::TimedOut;
        disk.set_fault(Fault::ErrorAt { op: 1, error, sticky: false, only_sync: true });
        assert_eq!(disk.len(file).unwrap(), 2);
        assert_eq!(disk.sync(file).unwrap_err().kind(), error);
        // The next one succeeds, and covers what was written since the failure, and no more.
        write_all_at(&disk, file, 2, b"c").unwrap();
        disk.sync(file).unwrap();
        assert_eq!(content(&disk, LOG).unwrap(), b"abc");
        assert_eq!(content(&disk.reopen(), LOG).unwrap(), b"abc");
        let cut = disk.power_cut(seed);
        assert_eq!(content(&cut, LOG), content(&disk.reopen().power_cut(seed), LOG));
        halves.insert(String::from_utf8(content(&cut, LOG).unwrap()).unwrap());
    }
    assert_eq!(halves, HashSet::from(["--c".to_owned(), "a-c".to_owned()]));
}

#[test]
fn a_failed_sync_of_names_may_have_done_its_first_part() {
    let mut kept = HashSet::new();
    for seed in 0..40 {
        let disk = SimulatedDisk::new(seed);
        disk.create(LOG).unwrap();
        disk.create(OLD).unwrap();
        disk.set_fault(Fault::ErrorAt {
            op: 1,
            error: io::ErrorKind::TimedOut,
            sticky: true,
            only_sync: true,
        });
        disk.sync_names().unwrap_err();
        disk.sync_names().unwrap_err();
        assert_eq!(disk.list().unwrap(), [LOG, OLD]);
        let names: Vec<FileName> =
            disk.power_cut_in(NOTHING, 0).files().into_iter().map(|(name, _)| name).collect();
        kept.insert(names.len());
        assert!([LOG, OLD].starts_with(&names));
    }
    assert_eq!(kept, HashSet::from([0, 1, 2]));
}

#[test]
fn a_rename_carries_the_file_it_renamed() {
    let disk = SimulatedDisk::from_files(1, [(OLD, b"old".to_vec()), (NEW, b"stale".to_vec())]);
    disk.remove(NEW).unwrap();
    let file = disk.create(NEW).unwrap();
    write_all_at(&disk, file, 0, b"new").unwrap();
    disk.sync(file).unwrap();
    disk.rename(NEW, OLD).unwrap();
    let mut found = HashSet::new();
    for style in CutStyle::ALL {
        for seed in 0..200 {
            let disk = disk.power_cut_in(style, seed);
            found.insert((content(&disk, OLD).unwrap(), content(&disk, NEW)));
        }
    }
    // Whichever of the three changes arrived: the stale file is never under the other name, nor the new one under two.
    let (old, new, stale) = (b"old".to_vec(), b"new".to_vec(), b"stale".to_vec());
    let expected = [
        (old.clone(), Some(stale.clone())),
        (old.clone(), None),
        (old, Some(new.clone())),
        (new.clone(), Some(stale)),
        (new, None),
    ];
    assert_eq!(found, HashSet::from(expected));
}

#[test]
fn a_removal_takes_only_the_file_that_was_removed() {
    let disk = SimulatedDisk::from_files(1, [(OLD, b"old".to_vec())]);
    disk.create(NEW).unwrap();
    disk.rename(NEW, OLD).unwrap();
    disk.remove(OLD).unwrap();
    let mut kept = 0;
    for seed in 0..200 {
        let cut = disk.power_cut_in(CutStyle::Subset, seed);
        // Gone is the old file only where the new one had come in its place.
        kept += u64::from(content(&cut, OLD).is_some_and(|bytes| bytes == b"old"));
    }
    // Half of the seeds have names by the same style, where the rename arrives in every second.
    assert!((80..160).contains(&kept), "{kept}");
    let kept = (0..200).filter(|seed| content(&disk.power_cut_in(NOTHING, *seed), OLD).is_some()).count();
    assert!(kept > 120, "{kept}");
}

#[test]
fn a_crash_in_a_sync_leaves_what_was_to_be_written_to_the_cut() {
    let (disk, file) = with_log(b"--");
    write_all_at(&disk, file, 0, b"ab").unwrap();
    disk.create(OLD).unwrap();
    disk.set_fault(Fault::CrashAt(1));
    disk.sync(file).unwrap_err();
    disk.sync_names().unwrap_err();
    for disk in [disk.reopen(), disk] {
        let found = |style| found(&disk, style, 9).into_keys().flatten().collect::<Vec<_>>();
        assert_eq!(found(CutStyle::Everything), [b"ab"]);
        assert_eq!(found(NOTHING), [b"--"]);
        let names: HashSet<usize> =
            (0..40).map(|seed| disk.power_cut_in(NOTHING, seed).files().len()).collect();
        assert_eq!(names, HashSet::from([1, 2]));
    }
}

#[test]
fn the_same_seed_leaves_the_same_disk_and_every_style_has_seeds() {
    let (disk, file) = with_log(b"durable");
    for part in 0..6 {
        write_all_at(&disk, file, 7 + 400 * part, &[part as u8; 400]).unwrap();
    }
    let mut styles = HashSet::new();
    let mut outcomes = HashSet::new();
    for seed in 0..300 {
        let (one, other) = (disk.power_cut(seed), disk.power_cut(seed));
        assert_eq!((one.files(), one.random()), (other.files(), other.random()));
        assert_eq!(one.trace(), other.trace());
        let style = one.trace()[0].split_once("data ").unwrap().1.split_once(',').unwrap().0.to_owned();
        styles.insert(style);
        outcomes.insert(content(&one, LOG));
    }
    assert_eq!(styles.len(), 5);
    assert!(outcomes.len() > 100, "{}", outcomes.len());
}

#[test]
fn what_was_synced_and_not_written_over_survives_every_cut() {
    for seed in 0..2_000 {
        let mut chance = Chance::new(seed);
        let (disk, file) = with_log(b"");
        let mut synced = Vec::new();
        let mut written = Vec::new();
        for _ in 0..chance.below(12) {
            if chance.one_in(3) {
                disk.sync(file).unwrap();
                synced = written.clone();
            } else {
                let bytes = vec![chance.draw() as u8; 1 + chance.part(700)];
                write_all_at(&disk, file, written.len() as u64, &bytes).unwrap();
                written.extend(bytes);
            }
        }
        let cut = disk.power_cut(seed);
        assert!(content(&cut, LOG).unwrap().starts_with(&synced), "{:?} {:?}", disk.trace(), cut.trace());
        assert_eq!(content(&disk, LOG).unwrap(), written);
        // What was found is durable: a second cut changes nothing.
        assert_eq!(cut.power_cut(seed).files(), cut.files());
    }
}

#[test]
fn a_crash_ends_the_process_in_any_call() {
    let script = |disk: &SimulatedDisk| -> io::Result<()> {
        let file = disk.create(NEW)?;
        write_all_at(disk, file, 0, b"abcdef")?;
        disk.sync(file)?;
        disk.rename(NEW, OLD)?;
        disk.sync_names()
    };
    let disk = SimulatedDisk::new(1);
    script(&disk).unwrap();
    assert_eq!((disk.calls(), disk.crashed()), (5, false));
    let mut parts = HashSet::new();
    for call in 1..=6 {
        for seed in 0..50 {
            let disk = SimulatedDisk::new(seed);
            disk.set_fault(Fault::CrashAt(call));
            assert_eq!(script(&disk).is_ok(), call == 6);
            assert_eq!(disk.crashed(), call < 6);
            let after = disk.reopen();
            let (new, old) = (content(&after, NEW), content(&after, OLD));
            match call {
                1 => assert_eq!((new, old), (None, None)),
                2 => drop(parts.insert(new.unwrap().len())),
                3 | 4 => assert_eq!((new.unwrap(), old), (b"abcdef".to_vec(), None)),
                _ => assert_eq!((new, old.unwrap()), (None, b"abcdef".to_vec())),
            }
            if call < 6 {
                assert!(disk.list().unwrap_err().to_string().contains("crashed"));
                assert_eq!(disk.calls(), call);
                // The process that is started next is not the one that died.
                assert!(!after.crashed());
                after.list().unwrap();
            } else {
                assert_eq!(content(&disk.power_cut(seed), OLD).unwrap(), b"abcdef");
            }
        }
    }
    assert_eq!(parts, HashSet::from([0, 1, 2, 3, 4, 5, 6]));
}

#[test]
fn an_error_comes_once_or_stays() {
    let error = io::ErrorKind::HostUnreachable;
    for (sticky, only_sync) in [(false, false), (true, false), (false, true), (true, true)] {
        let (disk, file) = with_log(b"abc");
        disk.set_fault(Fault::ErrorAt { op: 2, error, sticky, only_sync });
        let failed: Vec<bool> = (0..3)
            .flat_map(|_| [disk.len(file).map(drop), disk.sync(file), disk.sync_names()])
            .map(|outcome| outcome.is_err_and(|found| found.kind() == error))
            .collect();
        let expected: Vec<bool> = (1..=9)
            .map(|call| match (sticky, only_sync) {
                (false, _) => call == 2,
                (true, false) => call >= 2,
                (true, true) => call >= 2 && call % 3 != 1,
            })
            .collect();
        assert_eq!(failed, expected, "{sticky} {only_sync}");
    }
    let mut parts = HashSet::new();
    for seed in 0..50 {
        let disk = SimulatedDisk::from_files(seed, [(LOG, b"".to_vec())]);
        let file = disk.open(LOG).unwrap();
        disk.set_fault(Fault::ErrorAt { op: 1, error, sticky: false, only_sync: false });
        disk.write_at(file, 0, b"abc").unwrap_err();
        // It may have done a part of its work.
        let part = content(&disk, LOG).unwrap();
        assert!(b"abc".starts_with(&part));
        parts.insert(part.len());
    }
    assert_eq!(parts.len(), 4);
}

#[test]
fn short_calls_are_completed_and_a_write_of_nothing_is_an_error() {
    let (disk, file) = with_log(b"");
    disk.set_fault(Fault::ShortAt(1));
    disk.len(file).unwrap();
    let written = disk.write_at(file, 0, b"abcdefgh").unwrap();
    assert!((1..8).contains(&written), "{written}");
    disk.set_fault(Fault::ShortAt(1));
    write_all_at(&disk, file, 0, b"abcdefgh").unwrap();
    assert_eq!(disk.calls(), 2);
    disk.set_fault(Fault::ShortAt(1));
    let mut read = [0; 8];
    assert!((1..8).contains(&disk.read_at(file, 0, &mut read).unwrap()));
    disk.set_fault(Fault::ShortAt(1));
    read_exact_at(&disk, file, 0, &mut read).unwrap();
    assert_eq!((&read, disk.calls()), (b"abcdefgh", 2));

    disk.set_fault(Fault::ZeroWriteAt(1));
    read_exact_at(&disk, file, 0, &mut read).unwrap();
    let error = write_all_at(&disk, file, 0, b"ABC").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WriteZero);
    assert_eq!(content(&disk, LOG).unwrap(), b"abcdefgh");
}

#[test]
fn a_full_disk_takes_no_more_until_something_is_removed() {
    let disk = SimulatedDisk::from_files(1, [(LOG, b"abc".to_vec()), (OLD, vec![7; 10])]);
    let file = disk.open(LOG).unwrap();
    disk.set_fault(Fault::FullAfter(4));
    let full = io::ErrorKind::StorageFull;
    assert_eq!(disk.free_bytes().unwrap(), 4);
    assert_eq!(write_all_at(&disk, file, 3, b"defghi").unwrap_err().kind(), full);
    assert_eq!(content(&disk, LOG).unwrap(), b"abcdefg");
    assert_eq!(disk.truncate(file, 8).unwrap_err().kind(), full);
    assert_eq!(disk.create(NEW).unwrap_err().kind(), full);
    // What is there can be written over; and the disk is as full after a restart or a cut.
    write_all_at(&disk, file, 0, b"ABC").unwrap();
    disk.sync(file).unwrap();
    for disk in [disk.reopen(), disk.power_cut(1)] {
        assert_eq!(disk.create(NEW).unwrap_err().kind(), full);
    }
    // A file that is open takes room until it is closed.
    let old = disk.open(OLD).unwrap();
    disk.remove(OLD).unwrap();
    assert_eq!(disk.free_bytes().unwrap(), 0);
    disk.close(old);
    assert_eq!(disk.free_bytes().unwrap(), 10);
    disk.create(NEW).unwrap();
    assert_eq!(disk.write_at(file, 1 << 40, b"x").unwrap_err().kind(), full);
    disk.set_fault(Fault::None);
    assert_eq!(disk.write_at(file, 1 << 40, b"x").unwrap_err().kind(), full);
    write_all_at(&disk, file, 3, &[7; 99]).unwrap();
}

#[test]
fn readers_keep_what_they_have_open_and_a_restart_ends_them() {
    let disk: Arc<dyn Backing> = Arc::new(SimulatedDisk::from_files(1, [(OLD, b"old".to_vec())]));
    let file = disk.open(OLD).unwrap();
    let denied = io::ErrorKind::PermissionDenied;
    assert_eq!(disk.write_at(file, 0, b"x").unwrap_err().kind(), denied);
    assert_eq!(disk.truncate(file, 0).unwrap_err().kind(), denied);
    let bytes = disk.map(file).unwrap();
    let new = disk.create(NEW).unwrap();
    disk.rename(NEW, OLD).unwrap();
    let mut read = [0; 3];
    read_exact_at(&*disk, file, 0, &mut read).unwrap();
    assert_eq!((&read, &*bytes.read(0..3).unwrap()), (b"old", &b"old"[..]));
    assert_eq!(disk.len(new).unwrap(), 0);
    disk.map(new).unwrap();
    assert_eq!(disk.write_at(new, 0, b"x").unwrap_err().kind(), denied);
    assert_eq!(disk.foreign().unwrap(), [""; 0]);
    let numbered = FileName::new(FileKind::Manifest, 1);
    assert_eq!(disk.create(numbered).unwrap_err().kind(), io::ErrorKind::InvalidInput);

    let (disk, file) = with_log(b"abc");
    let bytes = disk.map(file).unwrap();
    let again = disk.reopen();
    assert_eq!(again.len(file).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    let file = again.open(LOG).unwrap();
    again.truncate(file, 1).unwrap();
    assert_eq!(content(&disk, LOG).unwrap(), b"abc");
    assert_eq!(&*bytes.read(0..3).unwrap(), b"abc");
    disk.remove(LOG).unwrap();
    assert_eq!(disk.remove(LOG).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert_eq!(disk.open(LOG).unwrap_err().kind(), io::ErrorKind::NotFound);
    // Its removal is not durable: a cut may bring it back, after a restart as well.
    assert_eq!(
        content(&disk.reopen().power_cut_in(NOTHING, 2), LOG),
        content(&disk.power_cut_in(NOTHING, 2), LOG)
    );
    assert!(found(&disk.reopen(), NOTHING, 20).contains_key(&Some(b"abc".to_vec())));
}

#[test]
fn a_flipped_bit_stays_flipped() {
    let (disk, _) = with_log(b"abc");
    assert!(disk.flip(LOG, 8));
    assert!(!disk.flip(LOG, 24) && !disk.flip(OLD, 0));
    assert_eq!(content(&disk, LOG).unwrap(), b"acc");
    assert_eq!(content(&disk.power_cut(1), LOG).unwrap(), b"acc");
    let copy = SimulatedDisk::from_files(1, disk.files());
    assert_eq!(copy.files(), disk.files());
}

#[test]
fn time_goes_on_and_numbers_come_from_the_seed() {
    let disk = SimulatedDisk::new(7);
    let before = disk.elapsed();
    assert!(disk.elapsed() > before);
    disk.advance(Duration::from_secs(60));
    assert!(disk.elapsed() >= Duration::from_secs(60));
    assert_eq!(disk.calls(), 0);
    let drawn = [disk.random(), disk.random()];
    // They do not depend on faults, and differ between processes.
    let other = SimulatedDisk::new(7);
    other.set_fault(Fault::ErrorAt { op: 1, error: io::ErrorKind::TimedOut, sticky: true, only_sync: false });
    other.list().unwrap_err();
    assert_eq!(drawn, [other.random(), other.random()]);
    let cut = disk.power_cut(7);
    let numbers = [
        cut.power_cut(7).random(),
        drawn[0],
        drawn[1],
        disk.reopen().random(),
        disk.reopen().reopen().random(),
        disk.power_cut(7).random(),
    ];
    assert_eq!(HashSet::from(numbers).len(), 6);
}

#[test]
fn the_trace_tells_each_call_and_what_became_of_it() {
    let (disk, file) = with_log(b"abc");
    disk.set_fault(Fault::ErrorAt { op: 2, error: io::ErrorKind::TimedOut, sticky: false, only_sync: true });
    write_all_at(&disk, file, 3, b"de").unwrap();
    disk.sync(file).unwrap_err();
    disk.rename(LOG, OLD).unwrap();
    disk.set_fault(Fault::CrashAt(1));
    disk.sync_names().unwrap_err();
    disk.list().unwrap_err();
    assert_eq!(
        disk.trace(),
        [
            "a disk of files, seed 1",
            "1 open wal/00000001.wal",
            "1 write wal/00000001.wal at 3, 2 bytes",
            "2 sync wal/00000001.wal (failed: timed out)",
            "3 rename wal/00000001.wal to seg/00000001.seg",
            "1 sync names (crashed)",
        ]
    );
}
