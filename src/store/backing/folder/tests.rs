use std::borrow::Cow;
use std::process::{Command, Output};

use tempfile::TempDir;

use super::super::{read_exact_at, write_all_at};
use super::*;
use crate::error::ErrorKind;

const LOG: FileName = FileName { kind: FileKind::Log, number: 1 };
const NEW: FileName = FileName { kind: FileKind::NewSegment, number: 7 };
const SEGMENT: FileName = FileName { kind: FileKind::Segment, number: 7 };

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn open(folder: &TempDir) -> FolderBacking {
    FolderBacking::open(folder.path(), Access::ReadWrite).unwrap()
}

fn positioned(folder: &TempDir) -> FolderBacking {
    let options = FolderOptions {
        access: Access::ReadOnly,
        read_mode: ReadMode::Positioned,
        ..FolderOptions::default()
    };
    FolderBacking::open_with(folder.path(), options).unwrap()
}

/// A segment with these bytes, published.
fn publish(backing: &FolderBacking, name: FileName, bytes: &[u8]) -> FileId {
    let new = FileName::new(FileKind::NewSegment, name.number);
    let file = backing.create(new).unwrap();
    write_all_at(backing, file, 0, bytes).unwrap();
    backing.sync(file).unwrap();
    backing.rename(new, name).unwrap();
    backing.sync_names().unwrap();
    file
}

fn text(error: &io::Error) -> String {
    error.to_string()
}

#[test]
fn what_was_written_is_read_under_the_name_it_was_given() {
    let folder = folder();
    let backing = open(&folder);
    assert_eq!(backing.path(), folder.path());
    let file = publish(&backing, SEGMENT, b"abcdef");
    write_all_at(&backing, file, 8, b"xy").unwrap();
    backing.truncate(file, 9).unwrap();
    backing.sync(file).unwrap();
    let mut read = [9; 9];
    read_exact_at(&backing, file, 0, &mut read).unwrap();
    assert_eq!(&read, b"abcdef\0\0x");
    assert_eq!((backing.len(file).unwrap(), backing.read_at(file, 9, &mut read).unwrap()), (9, 0));
    assert_eq!(backing.list().unwrap(), [SEGMENT]);
    assert_eq!(fs::read(folder.path().join("seg/00000007.seg")).unwrap(), b"abcdef\0\0x");
    assert!(backing.free_bytes().unwrap() > 0);

    // A name that is given to another file leaves the old file to whom has it open.
    let other = publish(&backing, SEGMENT, b"other");
    assert_eq!((backing.len(file).unwrap(), backing.len(other).unwrap()), (9, 5));
    backing.close(file);
    assert_eq!(backing.len(file).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    backing.remove(SEGMENT).unwrap();
    assert_eq!((backing.list().unwrap(), backing.len(other).unwrap()), (vec![], 5));
}

#[test]
fn an_error_names_what_was_tried_and_the_path() {
    let folder = folder();
    let backing = open(&folder);
    let path = folder.path().display();
    let absent = "No such file or directory (os error 2)";
    let error = backing.open(LOG).unwrap_err();
    assert_eq!(text(&error), format!("cannot open {path}/wal/00000001.wal: {absent}"));
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    assert_eq!(
        text(&backing.remove(NEW).unwrap_err()),
        format!("cannot remove {path}/seg/00000007.seg.tmp: {absent}")
    );
    assert_eq!(
        text(&backing.rename(LOG, NEW).unwrap_err()),
        format!("cannot rename {path}/wal/00000001.wal: {absent}")
    );
    backing.create(LOG).unwrap();
    let error = backing.create(LOG).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(error_of(error).kind(), ErrorKind::Io);
    assert_eq!(error_of(io::ErrorKind::StorageFull.into()).kind(), ErrorKind::Full);
    let numbered = FileName::new(FileKind::Manifest, 1);
    assert_eq!(backing.create(numbered).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    let file = backing.create(FileName::MANIFEST).unwrap();
    assert!(
        text(&backing.truncate(file, u64::MAX).unwrap_err()).starts_with("cannot change the length of /")
    );
    // A file where the folder would be.
    let error = FolderBacking::open(folder.path().join("MANIFEST"), Access::ReadWrite).unwrap_err();
    assert!(error.to_string().starts_with("cannot make folder /"), "{error}");
    let error = FolderBacking::open(folder.path().join("absent"), Access::ReadOnly).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot open folder {path}/absent: {absent}"));
}

#[test]
fn names_are_synced_where_they_changed() {
    let folder = folder();
    let backing = open(&folder);
    let changed = || -> Vec<&str> {
        let folders = backing.folders.iter().zip(FOLDERS);
        folders.filter(|(folder, _)| folder.changed.load(Ordering::Relaxed)).map(|(_, name)| name).collect()
    };
    // A process before may not have come to it.
    assert_eq!(changed(), FOLDERS);
    backing.sync_names().unwrap();
    assert_eq!(changed(), [""; 0]);
    let file = backing.create(LOG).unwrap();
    assert_eq!(changed(), ["wal"]);
    backing.sync_names().unwrap();
    backing.sync(file).unwrap();
    backing.open(LOG).unwrap();
    backing.list().unwrap();
    backing.open(SEGMENT).unwrap_err();
    assert_eq!(changed(), [""; 0]);
    backing.rename(LOG, FileName::new(FileKind::Quarantine, 1)).unwrap();
    assert_eq!(changed(), ["wal", "quarantine"]);
    backing.sync_names().unwrap();
    backing.remove(FileName::new(FileKind::Quarantine, 1)).unwrap();
    backing.create(FileName::MANIFEST).unwrap();
    assert_eq!(changed(), ["", "quarantine"]);
}

#[test]
fn a_second_writer_is_told_at_once_and_the_next_one_gets_in() {
    let folder = folder();
    // Somebody with a longer number was here before.
    fs::write(folder.path().join(LOCK), "4294967295\n").unwrap();
    let backing = open(&folder);
    let error = FolderBacking::open(folder.path(), Access::ReadWrite).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked);
    let told = format!(
        "the store in {} is open for writing in process {};",
        folder.path().display(),
        std::process::id()
    );
    assert!(error.to_string().starts_with(&told), "{error}");
    // Somebody takes the lock's file away: the folder is still locked.
    #[cfg(unix)]
    {
        fs::remove_file(folder.path().join(LOCK)).unwrap();
        let error = FolderBacking::open(folder.path(), Access::ReadWrite).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Locked);
    }
    drop(FolderBacking::open(folder.path(), Access::ReadOnly).unwrap());
    drop(backing);
    open(&folder);
}

/// Runs [`a_process_of_its_own`] in another process with a job and a folder; under `shell`, which gets the command as `"$@"`.
fn run_child(job: &str, folder: &Path, shell: &str) -> Output {
    let mut child = Command::new("sh");
    child.args(["-c", shell, "sh"]).arg(std::env::current_exe().unwrap());
    child.args([
        "--exact",
        "store::backing::folder::tests::a_process_of_its_own",
        "--include-ignored",
        "--nocapture",
    ]);
    child.env("PROMGATE_TEST_JOB", job).env("PROMGATE_TEST_FOLDER", folder);
    child.output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
#[ignore = "other tests run it in a process of its own"]
fn a_process_of_its_own() {
    let (Some(job), Some(folder)) =
        (std::env::var_os("PROMGATE_TEST_JOB"), std::env::var_os("PROMGATE_TEST_FOLDER"))
    else {
        return;
    };
    let opened = FolderBacking::open(folder, Access::ReadWrite);
    match job.to_str().unwrap() {
        "open" => match opened {
            Ok(_) => println!("opened"),
            Err(error) => println!("{:?}: {error}", error.kind()),
        },
        "die holding" => {
            let _backing = opened.unwrap();
            println!("held");
            std::process::abort();
        }
        "use up handles" => {
            let backing = opened.unwrap();
            let error =
                (0..).find_map(|number| backing.create(FileName::new(FileKind::Log, number)).err()).unwrap();
            println!("{error}");
            // What is open goes on, and names can still be made durable.
            write_all_at(&backing, FileId(0), 0, b"abc").unwrap();
            backing.sync(FileId(0)).unwrap();
            backing.sync_names().unwrap();
            println!("went on");
        }
        "map too much" => {
            let backing = opened.unwrap();
            let file = backing.create(SEGMENT).unwrap();
            backing.truncate(file, 3 << 30).unwrap();
            write_all_at(&backing, file, 2 << 30, b"abc").unwrap();
            let bytes = backing.map(file).unwrap();
            let read = bytes.read(2 << 30..(2 << 30) + 3).unwrap();
            println!("{bytes:?} {}", String::from_utf8_lossy(&read));
        }
        "fill" => {
            let backing = opened.unwrap();
            let file = backing.create(LOG).unwrap();
            let free = backing.free_bytes().unwrap();
            let error =
                (0..).find_map(|block| write_all_at(&backing, file, block * 4096, &[7; 4096]).err()).unwrap();
            println!("{free} {}: {error}", backing.free_bytes().unwrap());
            assert_eq!(error_of(error).kind(), ErrorKind::Full);
            drop(backing);
            // A full disk is still opened, and read.
            let backing =
                FolderBacking::open(std::env::var_os("PROMGATE_TEST_FOLDER").unwrap(), Access::ReadWrite)
                    .unwrap();
            let file = backing.open(LOG).unwrap();
            read_exact_at(&backing, file, 0, &mut [0; 4096]).unwrap();
            println!("went on");
        }
        job => panic!("no such job: {job}"),
    }
}

#[test]
#[cfg(unix)]
fn another_process_finds_the_lock_and_a_dead_one_leaves_none() {
    let folder = folder();
    let backing = open(&folder);
    let output = said(&run_child("open", folder.path(), "exec \"$@\""));
    let told = format!(
        "Locked: the store in {} is open for writing in process {};",
        folder.path().display(),
        std::process::id()
    );
    assert!(output.contains(&told), "{output}");
    drop(backing);
    let output = said(&run_child("open", folder.path(), "exec \"$@\""));
    assert!(output.contains("opened"), "{output}");
    let output = said(&run_child("die holding", folder.path(), "exec \"$@\""));
    assert!(output.contains("held"), "{output}");
    open(&folder);
}

#[test]
#[cfg(unix)]
fn out_of_handles_is_told_with_advice_and_stops_nothing_else() {
    let folder = folder();
    let output = said(&run_child("use up handles", folder.path(), "ulimit -n 24; exec \"$@\""));
    assert!(
        output.contains("Too many open files (os error 24); allow the process more open files (ulimit -n)"),
        "{output}"
    );
    assert!(output.contains("cannot create /") && output.contains("went on"), "{output}");
}

#[test]
#[cfg(target_os = "linux")]
fn what_cannot_be_mapped_is_read_by_position() {
    let folder = folder();
    let output = said(&run_child("map too much", folder.path(), "ulimit -v 2000000; exec \"$@\""));
    assert!(output.contains("FileBytes { source: \"file\", length: 3221225472 } abc"), "{output}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_told_and_can_still_be_opened() {
    let folder = folder();
    let shell = "mount -t tmpfs -o size=256k none \"$PROMGATE_TEST_FOLDER\" && exec \"$@\"";
    let alone = format!("unshare --mount --map-root-user sh -c '{shell}' \"$0\" \"$@\" || echo no mount");
    let output = said(&run_child("fill", folder.path(), &alone));
    if output.contains("no mount") && !output.contains("running 1 test") {
        // Not every place lets its processes mount.
        eprintln!("skipped: {output}");
        return;
    }
    assert!(output.contains(" 0: cannot write /") && output.contains("No space left on device"), "{output}");
    assert!(output.contains("went on"), "{output}");
}

#[test]
fn an_opening_for_reading_takes_no_lock_and_changes_nothing() {
    let folder = folder();
    let writer = open(&folder);
    publish(&writer, SEGMENT, b"abc");
    let log = writer.create(LOG).unwrap();
    write_all_at(&writer, log, 0, b"log").unwrap();
    let reader = FolderBacking::open(folder.path(), Access::ReadOnly).unwrap();
    let before = reader.list().unwrap();
    assert_eq!(before, [LOG, SEGMENT]);
    let file = reader.open(LOG).unwrap();
    let mut read = [0; 3];
    read_exact_at(&reader, file, 0, &mut read).unwrap();
    assert_eq!((&read, reader.len(file).unwrap()), (b"log", 3));
    assert!(reader.free_bytes().unwrap() > 0);
    let refused = [
        reader.create(NEW).map(drop),
        reader.write_at(file, 0, b"x").map(drop),
        reader.truncate(file, 0),
        reader.sync(file),
        reader.sync_names(),
        reader.rename(LOG, NEW),
        reader.remove(LOG),
    ];
    for refused in refused {
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }
    assert!(text(&reader.remove(LOG).unwrap_err()).ends_with("wal: the store is open for reading only"));
    assert_eq!((reader.list().unwrap(), writer.len(log).unwrap()), (before, 3));
    // The writer's files change under the reader, who sees it.
    write_all_at(&writer, log, 3, b"ged").unwrap();
    assert_eq!(reader.len(file).unwrap(), 6);

    // A reader makes no folder: not of a store, and not in one.
    let empty = tempfile::tempdir().unwrap();
    let reader = FolderBacking::open(empty.path(), Access::ReadOnly).unwrap();
    assert_eq!((reader.list().unwrap(), reader.foreign().unwrap()), (vec![], vec![]));
    assert_eq!(fs::read_dir(empty.path()).unwrap().count(), 0);
}

#[test]
#[cfg(unix)]
fn files_and_folders_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let path = folder.path().join("a/b/store");
    let above = [folder.path().join("a/b"), folder.path().join("a"), folder.path().to_owned()];
    assert_eq!(holders(&path), above);
    let backing = FolderBacking::open(&path, Access::ReadWrite).unwrap();
    backing.create(LOG).unwrap();
    publish(&backing, SEGMENT, b"abc");
    assert_eq!(holders(&path), above[..1]);
    let mode = |name: &str| fs::metadata(path.join(name)).unwrap().permissions().mode() & 0o7777;
    for folder in ["", "wal", "seg", "quarantine", "../../../a", "../../b"] {
        assert_eq!(mode(folder), 0o700, "{folder}");
    }
    for file in ["LOCK", "wal/00000001.wal", "seg/00000007.seg"] {
        assert_eq!(mode(file), 0o600, "{file}");
    }
}

#[test]
fn what_is_not_the_stores_is_listed_apart_and_kept() {
    let folder = folder();
    let backing = open(&folder);
    let at = |name: &str| folder.path().join(name);
    backing.create(FileName::MANIFEST).unwrap();
    backing.create(LOG).unwrap();
    for name in ["notes.txt", "MANIFEST.bak", "wal/1.wal", "seg/LOCK", "quarantine/00000001.wal"] {
        fs::write(at(name), b"mine").unwrap();
    }
    fs::create_dir_all(at("backup/wal")).unwrap();
    fs::create_dir(at("seg/00000003.seg")).unwrap();
    fs::create_dir(at("wal/wal")).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(at("notes.txt"), at("seg/00000004.seg")).unwrap();
    assert_eq!(backing.list().unwrap(), [FileName::MANIFEST, LOG]);
    let mut foreign = vec![
        "MANIFEST.bak",
        "backup",
        "notes.txt",
        "quarantine/00000001.wal",
        "seg/00000003.seg",
        "seg/LOCK",
        "wal/1.wal",
        "wal/wal",
    ];
    if cfg!(unix) {
        foreign.insert(5, "seg/00000004.seg");
    }
    assert_eq!(backing.foreign().unwrap(), foreign);
    // Its name is in the way of nothing but itself.
    let error = backing.create(FileName::new(FileKind::Segment, 3)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    drop(backing);
    assert_eq!(open(&folder).foreign().unwrap(), foreign);
    assert_eq!(fs::read(at("notes.txt")).unwrap(), b"mine");
}

#[test]
fn bytes_outlive_their_file_and_do_not_change() {
    let folder = folder();
    let backing = open(&folder);
    let content: Vec<u8> = (0..100_000_u32).map(|i| ((i * 31) >> 3) as u8).collect();
    let file = publish(&backing, SEGMENT, &content);
    let bytes = backing.map(file).unwrap();
    // Who mapped it no longer writes it.
    for refused in [backing.write_at(file, 0, b"x").map(drop), backing.truncate(file, 0)] {
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        assert!(text(&error).ends_with("the file was opened to be read, or is mapped"), "{error}");
    }
    let opened = backing.open(SEGMENT).unwrap();
    assert_eq!(backing.write_at(opened, 0, b"x").unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    backing.sync(opened).unwrap();
    let again = backing.map(opened).unwrap();
    for file in [file, opened] {
        backing.close(file);
    }
    backing.remove(SEGMENT).unwrap();
    let read = std::thread::spawn(move || again.read(0..again.len()).unwrap().into_owned());
    assert_eq!(bytes.read(0..100_000).unwrap(), content);
    assert_eq!(read.join().unwrap(), content);
    drop(backing);
    assert_eq!(*bytes.read(99_000..100_000).unwrap(), content[99_000..]);
}

#[test]
fn bytes_read_by_position_equal_mapped_ones() {
    let folder = folder();
    let writer = open(&folder);
    let large = HELD_BYTES + 4096 + 5;
    let held = |bytes: &FileBytes| format!("{bytes:?}");
    for (number, length) in (1..).zip([0, 1, 4096, HELD_BYTES, large]) {
        let name = FileName::new(FileKind::Segment, number);
        let content: Vec<u8> = (0..length).map(|i| ((i * 7) >> 5) as u8).collect();
        let file = publish(&writer, name, &content);
        let mapped = writer.map(file).unwrap();
        let reader = positioned(&folder);
        let by_position = reader.map(reader.open(name).unwrap()).unwrap();
        assert_eq!((mapped.len(), by_position.len()), (length, length));
        let way = if length > HELD_BYTES { "file" } else { "held" };
        assert!(held(&by_position).contains(way), "{by_position:?}");
        let way = if cfg!(not(feature = "mmap")) {
            way
        } else if length > 0 {
            "mapped"
        } else {
            "held"
        };
        assert!(held(&mapped).contains(way) || writer.read_mode() == ReadMode::Positioned, "{mapped:?}");
        for range in
            [0..0, 0..length.min(9), length / 3..length / 2, length.saturating_sub(3)..length, 0..length]
        {
            assert_eq!(mapped.read(range.clone()).unwrap(), by_position.read(range).unwrap());
        }
        for bytes in [mapped, by_position] {
            assert_eq!(bytes.read(0..length + 1).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
            assert_eq!(bytes.read(0..length).unwrap(), content);
        }
    }
    // A large file is read where it is: cut behind our back it is an error of the read that needs what is gone.
    let reader = positioned(&folder);
    let bytes = reader.map(reader.open(FileName::new(FileKind::Segment, 5)).unwrap()).unwrap();
    OpenOptions::new()
        .write(true)
        .open(folder.path().join("seg/00000005.seg"))
        .unwrap()
        .set_len(4096)
        .unwrap();
    assert!(matches!(bytes.read(0..4096).unwrap(), Cow::Owned(_)));
    assert_eq!(bytes.read(4000..5000).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn a_log_found_can_be_cut_and_is_never_mapped() {
    let folder = folder();
    let backing = open(&folder);
    let file = backing.create(LOG).unwrap();
    write_all_at(&backing, file, 0, b"abcdef").unwrap();
    let found = backing.open(LOG).unwrap();
    backing.truncate(found, 4).unwrap();
    backing.sync(found).unwrap();
    let bytes = backing.map(found).unwrap();
    backing.truncate(file, 2).unwrap();
    assert_eq!(&*bytes.read(0..4).unwrap(), b"abcd");
    assert_eq!(backing.truncate(found, 0).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
}

#[test]
fn time_and_chance_are_the_hosts() {
    let folder = folder();
    let backing: Arc<dyn Backing> = Arc::new(open(&folder));
    assert_ne!(backing.random(), backing.random());
    let before = backing.elapsed();
    while backing.elapsed() == before {}
    assert!(backing.elapsed() > before);
}
