//! A disk that has no room, has room again, and can only be read.

use std::path::Path;
use std::process::Command;

use promgate::{ErrorKind, Health, Store};

use crate::child::{command, folder, succeeded};
use crate::workload::{Batches, Model, open, options};

#[test]
fn a_full_disk_refuses_batches_whole_and_loses_none() {
    let folder = tempfile::tempdir().unwrap();
    // Mounts end with the namespace, whatever becomes of the test.
    let namespaces: [&[&str]; 2] = [&["unshare", "--mount"], &["unshare", "--mount", "--map-root-user"]];
    let works = |wrapper: &&&[&str]| {
        let mut probe = Command::new(wrapper[0]);
        probe.args(&wrapper[1..]).args(["mount", "-t", "tmpfs", "none"]).arg(folder.path());
        probe.output().is_ok_and(|output| output.status.success())
    };
    let Some(wrapper) = namespaces.iter().find(works) else {
        println!("skipped: not root, and no mount namespaces here");
        return;
    };
    print!("{}", succeeded(command(wrapper, "full", folder.path()).output().unwrap()));
}

fn mount(arguments: &[&str], folder: &Path) {
    let status = Command::new("mount").args(arguments).arg(folder).status().unwrap();
    assert!(status.success(), "mount {arguments:?}: {status}");
}

/// Takes all room that is left.
fn fill(path: &Path) {
    use std::io::Write;
    let mut file = std::fs::File::create(path).unwrap();
    for size in [1 << 16, 4096, 1] {
        while file.write_all(&vec![1; size]).is_ok() {}
    }
}

pub(crate) fn live() {
    let disk = folder();
    mount(&["-t", "tmpfs", "-o", "size=160k", "none"], &disk);
    let path = disk.join("store");
    let mut model = Model::default();
    let mut holds = |store: &Store, wanted: usize, what: &str| {
        let found = model.prefix(&store.snapshot()).unwrap_or_else(|wrong| panic!("{what}: {wrong}"));
        assert_eq!(found, wanted, "{what}");
    };

    let store = open(&path).unwrap();
    let mut batches = Batches::new(&store);
    let (mut number, mut refused, mut upkeep) = (0, 0, 0);
    while refused < 20 {
        match batches.append(number) {
            Ok(_) => number += 1,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Full, "{error}");
                assert_eq!(store.health(), Health::Full);
                holds(&store, number, "a commit was refused");
                refused += 1;
            }
        }
        if let Err(error) = store.maintain() {
            assert_eq!(error.kind(), ErrorKind::Full, "{error}");
            upkeep += 1;
        }
        assert!(number < 1_000_000, "the disk is never full");
    }
    fill(&disk.join("ballast"));
    drop((store, batches));

    let reader = Store::open_read_only(&path, options()).unwrap();
    holds(&reader, number, "read while the disk is full");
    let store = open(&path).unwrap_or_else(|error| panic!("opening while the disk is full: {error}"));
    holds(&store, number, "opened while the disk is full");
    assert_eq!(store.health(), Health::Full);
    store.verify().unwrap();
    let mut batches = Batches::new(&store);
    assert_eq!(batches.append(number).unwrap_err().kind(), ErrorKind::Full);
    holds(&store, number, "a commit was refused after opening");

    mount(&["-o", "remount,size=16m"], &disk);
    for _ in 0..300 {
        batches.append(number).unwrap_or_else(|error| panic!("there is room again: {error}"));
        number += 1;
        store.maintain().unwrap_or_else(|error| panic!("there is room again: {error}"));
    }
    assert_eq!(store.health(), Health::Good);
    holds(&store, number, "there is room again");
    drop((store, batches));

    // A process that died on a full disk.
    std::fs::remove_file(disk.join("ballast")).unwrap();
    fill(&disk.join("ballast"));
    let mut writer = command(&[], "writer", &path);
    writer.env("STORE_FIRST", number.to_string());
    let said = succeeded(writer.output().unwrap());
    let acknowledged = said.lines().filter(|line| line.starts_with("ack ")).count();
    assert!(said.contains("error Full at batch"), "{said}");
    number += acknowledged;
    let store = open(&path).unwrap_or_else(|error| panic!("opening after a death on a full disk: {error}"));
    holds(&store, number, "opened after a death on a full disk");
    drop(store);
    std::fs::remove_file(disk.join("ballast")).unwrap();
    let store = open(&path).unwrap();
    holds(&store, number, "opened when there was room again");
    store.flush().unwrap();
    store.verify().unwrap();
    holds(&store, number, "sealed when there was room again");
    store.close().unwrap();
    drop(store);

    // Files that are open without a name would keep it from that.
    drop(reader);
    mount(&["-o", "remount,ro"], &disk);
    let reader = Store::open_read_only(&path, options()).unwrap();
    holds(&reader, number, "read from a disk that can only be read");
    reader.refresh().unwrap();
    holds(&reader, number, "read again from a disk that can only be read");
    let error = open(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    assert!(error.to_string().contains(&*path.to_string_lossy()), "{error}");
    println!("\n{number} batches; {refused} commits and {upkeep} steps of upkeep found the disk full");
}
