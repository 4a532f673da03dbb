//! A reader in this process beside a writer in another one.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use promgate::{ErrorKind, Health, Labels, Maintained, Sample, Store, StoreOptions, Timestamp};

use crate::child::Writer;
use crate::wanted;
use crate::workload::{Batches, Model, open, options, read};

fn segments(folder: &Path) -> BTreeSet<String> {
    let Ok(entries) = std::fs::read_dir(folder.join("seg")) else { return BTreeSet::new() };
    let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    names.filter(|name| name.ends_with(".seg")).collect()
}

/// Opened as soon as there is something to open.
fn open_reader(folder: &Path, writer: &mut Writer) -> Store {
    let begun = Instant::now();
    while writer.acknowledged() == 0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "the writer acknowledges nothing");
        std::thread::sleep(Duration::from_millis(1));
    }
    Store::open_read_only(folder, options()).unwrap()
}

#[test]
fn a_reader_beside_a_writer_sees_whole_batches_in_order_and_keeps_its_snapshots() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::start(folder.path(), 0);
    let reader = open_reader(folder.path(), &mut writer);
    let mut model = Model::default();
    let (mut newest, mut refreshes, mut outlived) = (0, 0, 0);
    let mut held = None;
    let begun = Instant::now();
    let seconds = Duration::from_secs(wanted("READ_SECONDS", 3));
    while begun.elapsed() < seconds || outlived == 0 {
        assert!(
            begun.elapsed() < seconds + Duration::from_secs(20),
            "no segment was merged under a snapshot"
        );
        let acknowledged = writer.acknowledged();
        reader.refresh().unwrap_or_else(|error| panic!("refresh {refreshes}: {error}"));
        refreshes += 1;
        let snapshot = reader.snapshot();
        let batches = model.prefix(&snapshot).unwrap_or_else(|wrong| panic!("refresh {refreshes}: {wrong}"));
        assert!(batches >= newest, "went back from {newest} batches to {batches}");
        assert!(batches >= acknowledged, "{acknowledged} batches were acknowledged, {batches} are seen");
        newest = batches;
        let files = segments(folder.path());
        if held.is_none() && files.len() > 2 {
            let content = read(&snapshot).unwrap();
            held = Some((snapshot, content, files));
        } else if let Some((snapshot, content, files_then)) = held.take_if(|held| held.2.is_disjoint(&files))
        {
            assert!(read(&snapshot).unwrap() == content, "a snapshot changed when {files_then:?} went");
            outlived += 1;
        }
        if refreshes % 16 == 0 {
            reader.verify().unwrap();
        }
    }
    let error = open(folder.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked, "{error}");
    assert_eq!(reader.health(), Health::ReadOnly);
    let mut appender = reader.appender();
    appender.append(&Labels::from_pairs([("__name__", "up")]), Sample::float(Timestamp::MAX, 1.0)).unwrap();
    assert_eq!(appender.commit().unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(reader.maintain().unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(reader.flush().unwrap_err().kind(), ErrorKind::Closed);

    let acknowledged = writer.kill();
    reader.refresh().unwrap();
    let left = model.prefix(&reader.snapshot()).unwrap();
    assert!(left >= acknowledged.max(newest));
    // The folder is free again, and what the reader saw last is what there is.
    let store = open(folder.path()).unwrap();
    assert_eq!(model.prefix(&store.snapshot()).unwrap(), left);
    println!("{refreshes} refreshes up to {left} batches; {outlived} snapshots outlived all their segments");
}

#[test]
fn there_is_one_writer_in_one_process_too() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    let error = Store::open(folder.path(), StoreOptions::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked);
    assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
    drop(store);
    open(folder.path()).unwrap();
}

#[test]
fn flush_seals_also_what_came_while_a_seal_was_under_way() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    let mut batches = Batches::new(&store);
    let mut number = 0;
    while store.maintain().unwrap() == Maintained::Idle {
        batches.append(number).unwrap();
        number += 1;
    }
    batches.append(number).unwrap();
    store.flush().unwrap();
    let reader = Store::open_read_only(folder.path(), options()).unwrap();
    assert_eq!(Model::default().prefix(&reader.snapshot()), Ok(number + 1));
    assert_eq!(reader.open_report().unwrap().replayed_batches, 0, "all of it is in segments");
}
