//! Unix: every file is reached relative to one handle on its folder.

use std::{
    fs::{DirBuilder, File},
    io::{self, IoSlice},
    os::unix::fs::{DirBuilderExt, FileExt, MetadataExt},
    path::Path,
};

use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags},
    io::Errno,
};

/// Device and inode of a folder.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FolderIdentity {
    device: u64,
    inode: u64,
}

/// The one handle on the folder.
#[derive(Debug)]
pub(super) struct Folder(File);

pub(super) fn create_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)?;
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(parent)?.sync_all()
}

impl Folder {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(File::from(rustix::fs::open(path, flags, Mode::empty())?)))
    }

    pub(super) fn identity(&self) -> io::Result<FolderIdentity> {
        let metadata = self.0.metadata()?;
        Ok(FolderIdentity {
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }

    pub(super) fn create(&self, name: &str) -> io::Result<File> {
        Ok(self.openat(name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL)?)
    }

    pub(super) fn open_file(&self, name: &str) -> io::Result<File> {
        self.open_regular(name, OFlags::RDWR)
    }

    pub(super) fn open_file_to_read(&self, name: &str) -> io::Result<File> {
        self.open_regular(name, OFlags::RDONLY)
    }

    fn open_regular(&self, name: &str, access: OFlags) -> io::Result<File> {
        match self.openat(name, access) {
            Ok(file) if file.metadata()?.is_file() => Ok(file),
            // Every system has its own error number for a name that is something else: ask what it is.
            Ok(_) | Err(Errno::LOOP | Errno::MLINK | Errno::ISDIR | Errno::NXIO | Errno::NODEV | Errno::OPNOTSUPP) => {
                Err(self.not_regular(name)?)
            }
            Err(errno) => Err(errno.into()),
        }
    }

    pub(super) fn open_lock_file(&self, name: &str) -> io::Result<File> {
        match self.create(name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.open_file(name),
            other => other,
        }
    }

    pub(super) fn is_still_named(&self, file: &File, name: &str) -> io::Result<bool> {
        let held = rustix::fs::fstat(file)?;
        match rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(named) => Ok(named.st_dev == held.st_dev && named.st_ino == held.st_ino),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.0, from, &self.0, to)?)
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.0, name, AtFlags::empty())?)
    }

    pub(super) fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.0)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else {
                continue;
            };
            let kind = match entry.file_type() {
                // Some file systems do not tell in the listing.
                FileType::Unknown => match self.kind(name) {
                    Err(Errno::NOENT) => continue,
                    other => other?,
                },
                kind => kind,
            };
            if kind == FileType::RegularFile {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    /// `sync_all` of the folder's handle: `F_FULLFSYNC` on macOS.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.0.sync_all()
    }

    pub(super) fn free_bytes(&self) -> io::Result<u64> {
        let figures = rustix::fs::fstatvfs(&self.0)?;
        Ok(figures.f_bavail.saturating_mul(figures.f_frsize))
    }

    /// `NONBLOCK` means nothing to a regular file; it keeps the open of a pipe from waiting for the other end.
    fn openat(&self, name: &str, access: OFlags) -> Result<File, Errno> {
        let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | access;
        let mode = Mode::RUSR | Mode::WUSR;
        Ok(File::from(rustix::fs::openat(&self.0, name, flags, mode)?))
    }

    fn kind(&self, name: &str) -> Result<FileType, Errno> {
        let stat = rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(FileType::from_raw_mode(stat.st_mode))
    }

    fn not_regular(&self, name: &str) -> io::Result<io::Error> {
        let kind = match self.kind(name)? {
            FileType::Directory => "a folder",
            FileType::Symlink => "a symbolic link",
            FileType::Fifo => "a pipe",
            FileType::Socket => "a socket",
            FileType::CharacterDevice | FileType::BlockDevice => "a device",
            FileType::RegularFile | FileType::Unknown => "of an unknown kind",
        };
        Ok(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{name} is {kind}, not a regular file"),
        ))
    }
}

pub(super) fn read_at(file: &File, offset: u64, into: &mut [u8]) -> io::Result<usize> {
    file.read_at(into, offset)
}

pub(super) fn write_at(file: &File, offset: u64, bytes: &[u8]) -> io::Result<usize> {
    file.write_at(bytes, offset)
}

pub(super) fn write_vectored_at(file: &File, offset: u64, parts: &[IoSlice<'_>]) -> io::Result<usize> {
    match rustix::io::pwritev(file, parts, offset) {
        // macOS before 11 has no such call; the caller's loop takes the parts one by one then.
        Err(Errno::NOSYS) => parts.first().map_or(Ok(0), |part| file.write_at(part, offset)),
        other => Ok(other?),
    }
}
