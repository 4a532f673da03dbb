//! What differs between operating systems.

#![expect(clippy::disallowed_methods, reason = "the store's backing is where files are")]

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::path::Path;

/// One positioned read, which may be short.
pub(super) fn read_at(file: &File, at: u64, into: &mut [u8]) -> io::Result<usize> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::read_at(file, into, at);
    #[cfg(windows)]
    return std::os::windows::fs::FileExt::seek_read(file, into, at);
    #[cfg(not(any(unix, windows)))]
    return Err(unsupported(file, at, into));
}

/// One positioned write, which may be short.
pub(super) fn write_at(file: &File, at: u64, bytes: &[u8]) -> io::Result<usize> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::write_at(file, bytes, at);
    #[cfg(windows)]
    return std::os::windows::fs::FileExt::seek_write(file, bytes, at);
    #[cfg(not(any(unix, windows)))]
    return Err(unsupported(file, at, bytes));
}

#[cfg(not(any(unix, windows)))]
fn unsupported(_: &File, _: u64, _: &[u8]) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "a store in a folder needs Unix or Windows")
}

/// A folder, opened to be synced, where the system has that. NTFS keeps the order of names in its own journal.
pub(super) fn open_folder(path: &Path) -> io::Result<Option<File>> {
    if cfg!(unix) {
        return File::open(path).map(Some);
    }
    if path.is_dir() { Ok(None) } else { Err(io::ErrorKind::NotFound.into()) }
}

/// Bytes that an unprivileged user can still write beside this file; `u64::MAX` where the system does not tell.
pub(super) fn free_bytes(file: Option<&File>) -> io::Result<u64> {
    #[cfg(unix)]
    if let Some(file) = file {
        let found = rustix::fs::fstatvfs(file)?;
        return Ok(found.f_bavail.saturating_mul(found.f_frsize));
    }
    let _ = file;
    Ok(u64::MAX)
}

/// Whether the folder is on a file system whose files another machine or program serves: there a mapped file can fail at
/// any read. Told by the magic numbers of `statfs(2)` on Linux; elsewhere every file system counts as local.
pub(super) fn on_network(folder: Option<&File>) -> bool {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Some(found) = folder.and_then(|folder| rustix::fs::fstatfs(folder).ok()) {
        return is_network(found.f_type as u64 & 0xffff_ffff);
    }
    let _ = folder;
    false
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_network(magic: u64) -> bool {
    const NETWORK: [u64; 13] = [
        0x6969,      // NFS
        0x517b,      // SMB
        0xfe53_4d42, // SMB2
        0xff53_4d42, // CIFS
        0x6573_5546, // FUSE, virtiofs
        0x0102_1997, // 9P
        0x00c3_6400, // Ceph
        0x5346_414f, // OpenAFS
        0x6b41_4653, // kAFS
        0x7375_7245, // Coda
        0x0bd0_0bd0, // Lustre
        0x4750_4653, // GPFS
        0x0116_1970, // GFS2
    ];
    NETWORK.contains(&magic)
}

/// Folders are made for their owner alone.
pub(super) fn private_folder(builder: &mut DirBuilder) -> &mut DirBuilder {
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(builder, 0o700);
    builder
}

/// Files are made for their owner alone.
pub(super) fn private_file(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// Whether the process, or the system, has no room for another open file.
pub(super) fn out_of_handles(error: &io::Error) -> bool {
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
    }
    #[cfg(not(unix))]
    {
        let _ = error;
        false
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_told_from_local_ones() {
        for network in [0x6969, 0xff53_4d42, 0x6573_5546, 0x0102_1997] {
            assert!(is_network(network));
        }
        let (ext4, tmpfs, xfs, overlay, btrfs) = (0xef53, 0x0102_1994, 0x5846_5342, 0x794c_7630, 0x9123_683e);
        assert!(![ext4, tmpfs, xfs, overlay, btrfs].into_iter().any(is_network));
        assert!(!on_network(open_folder(Path::new("/proc")).unwrap().as_ref()));
    }
}
